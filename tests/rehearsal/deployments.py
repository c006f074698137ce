"""The real commands, run against the stand-in."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from tests.rehearsal.account import Account

from penstock.cli.app import main
from penstock.cli.output import ExitCode

CHAT = {"messages": [{"role": "user", "content": "Hello"}], "max_tokens": 8, "temperature": 0}


class Deployments:
    """A folder with a manifest, and credentials of the rehearsed account."""

    def __init__(self, aws: Account, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
        self.aws, self.folder, self._capsys = aws, folder, capsys
        self.file = folder / "penstock.yaml"

    def write(self, name: str, **sections: Any) -> None:
        """Write a manifest of the shipped model on one machine, changed by `sections`."""
        target = {"kind": "sagemaker", "region": "us-east-1", "instances": ["g5.xlarge"]}
        manifest = {"name": name, "engine": {"kind": "vllm"}, **sections}
        manifest["target"] = target | sections.get("target", {})
        self.file.write_text(json.dumps(manifest))  # JSON is YAML

    def run(self, command: str, *arguments: str, code: int = ExitCode.OK) -> tuple[str, str]:
        """Run a command on the manifest; returns what it wrote to stdout and to stderr."""
        return self.run_with(command, str(self.file), *arguments, code=code)

    def run_with(self, *arguments: str, code: int = ExitCode.OK) -> tuple[str, str]:
        """Run a command with these arguments and no others."""
        self._capsys.readouterr()
        given = main(arguments)
        written = self._capsys.readouterr()
        assert given == code, written.err
        return written.out, written.err

    def deploy(self, *arguments: str, code: int = ExitCode.OK) -> dict[str, Any]:
        """`penstock deploy --yes --json`; returns what it told, or the error."""
        out, err = self.run("deploy", "--yes", "--json", *arguments, code=code)
        told: dict[str, Any] = json.loads((out or err.strip()).splitlines()[-1])
        return told

    def destroy(self, *arguments: str) -> None:
        self.run("destroy", "--yes", *arguments)

    def things(self) -> list[Any]:
        """Everything in the account."""
        found: list[Any] = self.aws.order("inventory", method="GET")
        return found


def signed_in(aws: Account) -> Mapping[str, str]:
    """The environment in which AWS is the stand-in."""
    return {
        "AWS_ENDPOINT_URL": aws.url,
        "PENSTOCK_FRONT_VIA": f"{aws.url}/_at",
        "AWS_ACCESS_KEY_ID": "rehearsal",
        "AWS_SECRET_ACCESS_KEY": "rehearsal",
        "AWS_EC2_METADATA_DISABLED": "true",
        "AWS_CONFIG_FILE": "/nonexistent",
        "AWS_SHARED_CREDENTIALS_FILE": "/nonexistent",
    }
