"""Join the JSON files of ``/etc/orthanc`` and ``/run/secrets`` to one, then become Orthanc."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

configuration = {"StorageDirectory": "/var/lib/orthanc/db", "IndexDirectory": "/var/lib/orthanc/db"}
for folder in ("/etc/orthanc", "/run/secrets"):
    for path in sorted(Path(folder).glob("*.json")):
        configuration |= json.loads(path.read_text())
Path(sys.argv[1]).write_text(json.dumps(configuration))
os.execvp("Orthanc", ["Orthanc", sys.argv[1]])
