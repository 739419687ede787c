"""Exit code 0 where Orthanc answers with what its index has."""

from __future__ import annotations

import base64
import json
import urllib.request
from pathlib import Path

users = json.loads(Path("/tmp/orthanc.json").read_text())["RegisteredUsers"]
user, password = next(iter(users.items()))
request = urllib.request.Request("http://localhost:8042/changes?last")
word = base64.b64encode(f"{user}:{password}".encode()).decode()
request.add_header("Authorization", f"Basic {word}")
urllib.request.urlopen(request, timeout=8).close()
