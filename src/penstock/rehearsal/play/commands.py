"""Penstock's own commands, as whoever deploys would type them, on the rehearsed account."""

import json
import os
import re
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from penstock.rehearsal.play.stage import Tell

_TIME = re.compile(r"^\s*[\d.]+ s  ")
_OTHERS = ("AWS_PROFILE", "AWS_SESSION_TOKEN", "AWS_DEFAULT_REGION")


@dataclass(frozen=True, slots=True)
class Ended:
    """A command that has ended: its exit code, its stdout, and its error, if it had one."""

    code: int
    out: str
    error: Mapping[str, str]


class Commands:
    """Runs commands in processes of their own; `tell(act, text)` hears their progress."""

    def __init__(self, folder: Path, said: Mapping[str, str], tell: Tell) -> None:
        self._folder, self._tell = folder, tell
        self._environment = {k: v for k, v in os.environ.items() if k not in _OTHERS} | {
            "AWS_ENDPOINT_URL": said["url"],
            "AWS_REGION": said["region"],
            "AWS_ACCESS_KEY_ID": said["access_key"],
            "AWS_SECRET_ACCESS_KEY": said["secret_key"],
            "AWS_CONFIG_FILE": str(folder / "no-config"),
            "AWS_SHARED_CREDENTIALS_FILE": str(folder / "no-credentials"),
            "AWS_EC2_METADATA_DISABLED": "true",
            "PENSTOCK_CONFIG": str(folder / "config"),
        }

    def write(self, name: str, **sections: Any) -> Path:
        """Write the manifest of a deployment; returns where it lies."""
        file = self._folder / name / "penstock.yaml"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(json.dumps({"name": name, **sections}, indent=1), encoding="utf-8")
        return file

    def run(self, act: str, *arguments: str, kill_at: str = "") -> Ended:
        """Run a command to its end, or kill it at the first line of progress with `kill_at`."""
        process = subprocess.Popen(
            [sys.executable, "-m", "penstock.cli.app", *arguments],
            env=self._environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        error: dict[str, str] = {}
        with process:
            for line in process.stderr or ():
                if line.startswith('{"error"'):
                    error = json.loads(line)["error"]
                    continue
                self._tell(act, _TIME.sub("", line).rstrip())
                if kill_at and kill_at in line:
                    process.kill()
                    break
            out = process.stdout.read() if process.stdout else ""
        return Ended(process.returncode, out, error)
