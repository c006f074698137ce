"""`penstock token`: a bearer token for SageMaker's OpenAI route."""

import re
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer

from penstock.cli.output import AsJson, ExitCode, note, print_json
from penstock.ground.errors import UserError
from penstock.manifest.loader import DEFAULT_FILE, load
from penstock.wiring.aws import profile_region
from penstock.wiring.sagemaker import mint_token

_UNITS_S = {"s": 1, "m": 60, "h": 3600}

Expires = Annotated[
    str,
    typer.Option("--expires", metavar="TIME", help="How long it lasts: 90s, 45m, 12h at most."),
]
Region = Annotated[
    str | None, typer.Option("--region", help="Region; else target.region, else the profile's.")
]


def command(
    file: Annotated[
        Path | None,
        typer.Argument(metavar="[FILE]", help="The manifest; ./penstock.yaml, if there is one."),
    ] = None,
    expires: Expires = "1h",
    region: Region = None,
    as_json: AsJson = False,
) -> int:
    """Make a token that opens SageMaker's OpenAI route for a while.

    It is signed on this machine by the AWS credentials in use, and ends with them: nothing is
    asked of AWS. Stdout carries the token alone. With --json, stdout carries {"token", "region",
    "expires_at", "expires_in_s", "shortened"}.
    """
    lasts_s = _seconds(expires)
    where = region or _region(file)
    token = mint_token(where, lasts_s)
    until = datetime.fromtimestamp(token.ends_s, UTC)
    if as_json:
        print_json(
            {
                "token": token.text,
                "region": where,
                "expires_at": until.isoformat(timespec="seconds"),
                "expires_in_s": round((until - datetime.now(UTC)).total_seconds()),
                "shortened": token.is_shortened,
            }
        )
        return ExitCode.OK
    sys.stdout.write(token.text + "\n")
    sys.stdout.flush()
    early = ", when the AWS credentials end" if token.is_shortened else ""
    note(f"It opens endpoints in {where} until {until:%Y-%m-%d %H:%M:%S} UTC{early}.")
    note("Whoever has it may invoke what you may. It needs sagemaker:CallWithBearerToken and")
    note("sagemaker:InvokeEndpoint. Next: use it as the API key of any OpenAI client.")
    return ExitCode.OK


def _seconds(text: str) -> int:
    found = re.fullmatch(r"(\d{1,6})([smh]?)", text)
    if found is None:
        raise UserError(f"'{text}' is no length of time", fix="Write 90s, 45m or 12h.")
    return int(found[1]) * _UNITS_S[found[2] or "s"]


def _region(file: Path | None) -> str:
    if file is not None or DEFAULT_FILE.exists():
        told = load(file).target.region
        if told:
            return told
    found = profile_region()
    if not found:
        raise UserError(
            "no region is given for the token", fix="Give --region, or set AWS_REGION."
        )
    return found
