"""`penstock audit`: whether an audit is whole, and what stands in it."""

import calendar
import math
import time
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import msgspec
import typer

from penstock.cli.output import AsJson, ExitCode, note, print_json, print_text
from penstock.ground.errors import UserError
from penstock.ground.wording import numbered
from penstock.manifest.loader import load
from penstock.registry.audit.reading import Chains, Keys, entries
from penstock.registry.audit.verify import Report, verify
from penstock.wiring.auditing import find_chains, key_wrapper, told_of

Place = Annotated[
    str | None, typer.Argument(help="Folder or s3://BUCKET/PREFIX; else where the manifest says.")
]
File = Annotated[
    Path | None, typer.Option("--file", "-f", help="The manifest; ./penstock.yaml if left out.")
]
KeyFile = Annotated[
    Path | None, typer.Option("--key-file", help="File with the key; else what the manifest says.")
]
Tenant = Annotated[str | None, typer.Option("--tenant", help="`show`: of this tenant alone.")]
Request = Annotated[str | None, typer.Option("--request", help="`show`: this request alone.")]
Outcome = Annotated[str | None, typer.Option("--outcome", help="`show`: what ended so.")]
Since = Annotated[str | None, typer.Option("--since", help="`show`: first UTC day, 2026-11-01.")]
Until = Annotated[str | None, typer.Option("--until", help="`show`: first UTC day left out.")]


class Action(StrEnum):
    """What to do."""

    VERIFY = "verify"
    SHOW = "show"


def command(  # noqa: PLR0913, PLR0917  one parameter an option
    action: Annotated[Action, typer.Argument(help="`verify` it, or `show` its entries.")],
    place: Place = None,
    file: File = None,
    key_file: KeyFile = None,
    tenant: Tenant = None,
    request: Request = None,
    outcome: Outcome = None,
    since: Since = None,
    until: Until = None,
    as_json: AsJson = False,
) -> int:
    """Check an audit for what was altered, or show it.

    `verify` exits with 1 if anything is wrong, and says where. With --json, stdout carries the
    report, or one entry a line.
    """
    told = told_of(load(file), place, key_file)
    keys = Keys(key_wrapper(told))
    chains = find_chains(told)
    if action is Action.VERIFY:
        return _verify(chains, keys, as_json=as_json)
    wanted = {"tenant": tenant, "outcome": outcome}
    first_s, last_s = _seconds(since, 0.0), _seconds(until, math.inf)
    for raw in entries(chains, keys):
        entry: dict[str, Any] = msgspec.json.decode(raw)
        if not first_s <= entry["time_s"] < last_s:
            continue
        if any(value and entry.get(name) != value for name, value in wanted.items()):
            continue
        if request and entry.get("request_id", "").partition("/")[0] != request:
            continue
        _show(entry, as_json=as_json)
    return ExitCode.OK


def _seconds(day: str | None, otherwise: float) -> float:
    if day is None:
        return otherwise
    try:
        return calendar.timegm(time.strptime(day, "%Y-%m-%d"))
    except ValueError:
        raise UserError(f"{day} is no day", fix="Write it as 2026-11-01.") from None


def _verify(chains: Chains, keys: Keys, *, as_json: bool) -> int:
    report = verify(chains, keys)
    if as_json:
        print_json(msgspec.to_builtins(report))
    else:
        _tell(report)
    return ExitCode.FAILED if report.findings else ExitCode.OK


def _tell(report: Report) -> None:
    for finding in report.findings:
        where = f" segment {finding.segment}" if finding.segment else ""
        row = f", line {finding.row}" if finding.row else ""
        print_text(f"{finding.chain}{where}{row}: {finding.what}")
    kinds = f"{report.sealed} sealed, {report.opened} of them opened"
    chains, lines = numbered(report.chains, "chain"), numbered(report.lines, "line")
    entries = numbered(report.entries, "entry", "entries")
    print_text(f"{chains}, {lines}, {entries} ({kinds})")
    if report.sealed > report.opened:
        note("Without the key only hashes were checked; with it, nothing can be forged.")
    if not report.findings:
        note("Nothing is missing, and nothing was altered.")


def _show(entry: dict[str, Any], *, as_json: bool) -> None:
    if as_json:
        print_json(entry)
        return
    when = time.strftime("%Y-%m-%d %H:%M:%S", time.gmtime(entry["time_s"]))
    who = entry.get("tenant") or entry.get("key_id", "")
    what = entry.get("tool") or entry.get("model") or entry.get("action", "")
    outcome = entry.get("outcome") or entry.get("status", "")
    tokens = f"{entry.get('prompt_tokens', 0)}+{entry.get('completion_tokens', 0)}"
    print_text(
        f"{when} {entry.get('request_id', ''):32} {who:20} {what:20} {outcome!s:12} {tokens}"
        f"  {entry.get('note', '')}".rstrip()
    )
    for name in ("details", "prompt", "answer"):
        if name in entry:
            print_text(f"    {name}: {msgspec.json.encode(entry[name]).decode()}")
