"""Where `chat` and `invoke` send their requests: flags, environment, or the stack that runs here.

`penstock up` leaves `.penstock/run.json` beside the manifest; it is looked for in the working
directory and the folders above it. Its key goes to its own address and to no other.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated
from urllib.parse import urlsplit

import typer

from penstock.ground.errors import UserError
from penstock.targets.local.state import read_state

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


@dataclass(frozen=True, slots=True)
class Address:
    """A gateway: `url` without `/v1`, and what is known of its key and model."""

    url: str
    key: str | None = None
    model: str | None = None
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    """What a request carries besides."""


def find_address(url: str | None, key: str | None, folder: Path) -> Address:
    """The gateway at `url`, or else the stack that runs in `folder` or above it.

    Raises:
        UserError: `url` is no address, or there is none and no stack runs.
    """
    running = _find_running(folder)
    if url is None:
        if running is None:
            raise UserError(
                "no address to talk to",
                why=f"no stack runs in {folder} or in a folder above it",
                fix="Start a stack with `penstock up`, or give --url or PENSTOCK_URL.",
            )
        return Address(running.url, key or running.key, running.model)
    bare = url.rstrip("/").removesuffix("/v1")
    if not _is_http(bare):
        raise UserError(f"'{url}' is no address", fix="Write it like http://127.0.0.1:8080.")
    if running and running.url == bare:
        return Address(bare, key or running.key, running.model)
    return Address(bare, key)


def _find_running(folder: Path) -> Address | None:
    for place in (folder, *folder.parents):
        if state := read_state(place):
            return Address(state.url, state.api_key, state.model)
    return None


def _is_http(url: str) -> bool:
    try:
        parts = urlsplit(url)
    except ValueError:
        return False
    return parts.scheme in ("http", "https") and bool(parts.hostname)
