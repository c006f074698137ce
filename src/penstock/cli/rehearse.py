"""`penstock rehearse`: a deployment from beginning to end, on this machine."""

import tempfile
import time
from pathlib import Path
from typing import Annotated, Any

import typer

from penstock.cli.output import AsJson, ExitCode, note, print_json, print_text
from penstock.ground.errors import UserError
from penstock.wiring.rehearsal import rehearse

BREAKABLE = (
    *("capacity", "quota", "health_check", "memory", "download"),
    *("slow_download", "throttling", "crash"),
)

Faults = Annotated[
    list[str] | None,
    typer.Option("--fault", metavar="KIND", help=f"What is to go wrong: {', '.join(BREAKABLE)}."),
]
Keep = Annotated[
    bool, typer.Option("--keep", help="Leave the stand-in and the deployment up until Enter.")
]


def command(faults: Faults = None, keep: Keep = False, as_json: AsJson = False) -> int:
    """Rehearse a deployment to AWS on this machine, from change set to deletion.

    A stand-in for AWS runs on loopback with real engines behind its endpoints, and the real
    commands deploy to it, each as a process of its own. Nothing is charged, no account is needed.
    The exit code is 1 when an act does not end as it should.
    """
    wanted = tuple(faults if faults is not None else BREAKABLE[:1])
    if odd := set(wanted) - set(BREAKABLE):
        raise UserError(
            f"there is no fault {', '.join(sorted(odd))}", fix=f"It is one of {BREAKABLE}"
        )
    begin = time.monotonic()

    def tell(act: str, text: str) -> None:
        at_s = time.monotonic() - begin
        if as_json:
            print_json({"at_s": round(at_s, 2), "act": act, "text": text})
        else:
            print_text(f"{at_s:6.1f} s  {act:<16} {text}")

    with tempfile.TemporaryDirectory(prefix="penstock-rehearsal-") as folder:
        rehearse(Path(folder), wanted, tell, _hold if keep else None)
    tell("end", "the rehearsal went as it should")
    return ExitCode.OK


def _hold(said: dict[str, Any]) -> None:
    """Say how to reach what is left up, and wait for Enter."""
    note(
        f"export AWS_ENDPOINT_URL={said['url']} AWS_REGION={said['region']} "
        f"AWS_ACCESS_KEY_ID={said['access_key']} AWS_SECRET_ACCESS_KEY={said['secret_key']}"
    )
    note("Press Enter to end it.")
    typer.prompt("", default="", show_default=False, prompt_suffix="")
