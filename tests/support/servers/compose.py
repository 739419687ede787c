"""``infra/docker-compose.yml`` as data, with its variables filled in."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from tests.support.paths import ROOT

FOLDER = ROOT / "infra"
FILE = FOLDER / "docker-compose.yml"
SECRETS = "/run/secrets/"
GIVEN = {"SEGRELAY_HOST": "localhost", "SEGRELAY_BUCKET": "gs://hospital/queue"}
"""What its user sets."""

_VARIABLE = re.compile(r"\$\{(\w+)(?:(:[-?])([^}]*))?\}")


def load(given: Mapping[str, str] = GIVEN) -> dict[str, Any]:
    """The file, as compose reads it; a variable that must be given and is not is a KeyError."""

    def fill(match: re.Match[str]) -> str:
        name, how, word = match.groups()
        return given.get(name, word) if how == ":-" else given[name]

    def filled(value: Any) -> Any:
        if isinstance(value, dict):
            return {key: filled(item) for key, item in value.items()}
        if isinstance(value, list):
            return [filled(item) for item in value]
        return _VARIABLE.sub(fill, value) if isinstance(value, str) else value

    document: dict[str, Any] = filled(yaml.safe_load(FILE.read_text()))
    return document


def nginx_configuration(
    folder: Path, ports: Mapping[str, str], *, static: Path, secrets: Path
) -> Path:
    """The template as the image fills it in, for an nginx of this machine.

    ``ports`` are addresses in place of those of the network of containers.
    """
    text = (FOLDER / "compose" / "nginx.conf.template").read_text()
    text = text.replace("${SEGRELAY_HOST}", "localhost")
    text = text.replace("${NGINX_LOCAL_RESOLVERS}", "127.0.0.1")
    for old, new in ports.items():
        assert old in text, old
        text = text.replace(old, new)
    text = text.replace(SECRETS, f"{secrets}/").replace("/srv/static/", f"{static}/")
    text = text.replace("/dev/stdout", f"{folder}/access.log")
    temporary = "".join(
        f"{name}_temp_path {folder}/{name};\n"
        for name in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    )
    path = folder / "nginx.conf"
    path.write_text(
        f"daemon off;\nmaster_process off;\npid {folder}/pid;\n"
        f"events {{ worker_connections 256; }}\nhttp {{\n{temporary}{text}}}\n"
    )
    return path
