"""Where `chat` and `invoke` send their requests: flags, environment, or the stack that runs here.

`penstock up` leaves `.penstock/run.json` beside the manifest; it is looked for in the working
directory and the folders above it. Its key goes to its own address and to no other.
"""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated
from urllib.parse import urlsplit

import typer

from penstock.ground.errors import UserError

Url = Annotated[
    str | None,
    typer.Option(
        "--url", envvar="PENSTOCK_URL", help="Address of the gateway; else the local stack."
    ),
]
Key = Annotated[
    str | None,
    typer.Option("--key", envvar="PENSTOCK_API_KEY", help="API key; else the local stack's."),
]
Model = Annotated[
    str | None, typer.Option("--model", help="Model or adapter to ask; else the stack's own.")
]
System = Annotated[str | None, typer.Option("--system", help="System message to begin with.")]

RUN_FILE = Path(".penstock/run.json")


@dataclass(frozen=True, slots=True)
class Address:
    """A gateway: `url` without `/v1`, and what is known of its key and model."""

    url: str
    key: str | None = None
    model: str | None = None


def find_address(url: str | None, key: str | None, folder: Path) -> Address:
    """The gateway at `url`, or else the stack that runs in `folder` or above it.

    Raises:
        UserError: `url` is no address; there is no running stack; its file is damaged.
    """
    running = _find_running(folder)
    if url is None:
        if running is None:
            raise UserError(
                "no address to talk to",
                why=f"there is no {RUN_FILE} in {folder} or above it",
                fix="Start a stack with `penstock up`, or give --url or PENSTOCK_URL.",
            )
        return Address(running.url, key or running.key, running.model)
    bare = url.rstrip("/").removesuffix("/v1")
    if urlsplit(bare).scheme not in ("http", "https") or not urlsplit(bare).hostname:
        raise UserError(f"'{url}' is no address", fix="Write it like http://127.0.0.1:8080.")
    if running and running.url == bare:
        return Address(bare, key or running.key, running.model)
    return Address(bare, key)


def _find_running(folder: Path) -> Address | None:
    for place in (folder, *folder.parents):
        file = place / RUN_FILE
        if file.is_file():
            return _read_running(file)
    return None


def _read_running(file: Path) -> Address:
    try:
        state = json.loads(file.read_bytes())
        return Address(state["url"].rstrip("/"), state["api_key"], state["model"])
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise UserError(
            f"{file} cannot be used", why=str(error), fix="`penstock up` writes it anew."
        ) from error
