"""The logs of a deployment in AWS, from CloudWatch."""

from __future__ import annotations

import contextlib
import time
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from penstock.cli.output import ExitCode, print_json, print_text
from penstock.cli.planning import hub_cache
from penstock.ground.errors import UserError
from penstock.manifest.model import Manifest
from penstock.wiring.deploying import open_deployer

if TYPE_CHECKING:
    from penstock.targets.aws.logs import Line


def show_deployed_logs(
    manifest: Manifest, name: str | None, lines: int, *, follow: bool, as_json: bool
) -> int:
    """Show the last lines of all logs or of one, and go on with what comes.

    Raises:
        UserError: there is no log of that name, or nothing has been written yet.
    """
    with open_deployer(manifest, hub_cache()) as deployer:
        groups = deployer.log_groups()
        chosen = {title: group for title, group in groups.items() if name in (None, title)}
        if not chosen:
            raise UserError(f"there is no log {name}", why=f"there are {', '.join(groups)}")
        titles = {group: title for title, group in chosen.items()}
        found = [line for group in titles for line in deployer.logs.tail(group, lines)]
        if not (found or follow):
            raise UserError(
                f"nothing has been written for {manifest.name} yet",
                why=f"there is nothing in {', '.join(titles)}",
                fix="`penstock status` shows whether it is deployed",
            )
        for line in sorted(found, key=lambda each: each.at_ms)[-lines:] if lines else ():
            _show(titles[line.group], line, as_json=as_json)
        if follow:
            since = max((each.at_ms for each in found), default=int(time.time() * 1000))
            with contextlib.suppress(KeyboardInterrupt):
                for line in deployer.logs.follow(tuple(titles), since + 1):
                    _show(titles[line.group], line, as_json=as_json)
    return ExitCode.OK


def _show(name: str, line: Line, *, as_json: bool) -> None:
    at = datetime.fromtimestamp(line.at_ms / 1000, UTC).isoformat(timespec="milliseconds")
    if as_json:
        print_json({"name": name, "at": at, "stream": line.stream, "line": line.text})
    else:
        print_text(f"{at} {name}: {line.text.rstrip()}")
