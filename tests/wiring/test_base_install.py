"""What `pip install penstock` without extras must be able to do: start, and tell what it can."""

import subprocess
import sys

OPTIONAL = (
    "boto3", "botocore", "cfnlint", "jwt", "mcp", "moto", "opentelemetry", "pyarrow", "re2",
    "redis", "resvg_py",
)  # fmt: skip
"""Packages of extras and of development, as they are imported."""

PROGRAM = f"""
import importlib, pkgutil, sys

for name in {OPTIONAL}:
    sys.modules[name] = None  # an import of it fails from here on

import penstock.cli
for module in pkgutil.iter_modules(penstock.cli.__path__, "penstock.cli."):
    importlib.import_module(module.name)

import tests.gateway.gateway_process as gateways
from penstock.wiring.gateway import make_gateway

make_gateway(gateways.settings_for({{"engine": "http://127.0.0.1:9"}}))
"""


def test_every_command_and_a_gateway_do_without_extras() -> None:
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM], capture_output=True, text=True, timeout=240, check=False
    )
    assert done.returncode == 0, done.stderr
