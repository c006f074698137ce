"""`penstock down`: end the stack that runs here."""

from pathlib import Path

from penstock.cli.output import AsJson, ExitCode, note, print_json
from penstock.targets.local.state import find_directory
from penstock.targets.local.stop import stop


def command(as_json: AsJson = False) -> int:
    """Stop the running stack.

    Fine when nothing runs. With --json, stdout carries {"stopped", "name", "url"}.
    """
    ended = stop(find_directory(Path.cwd()))
    if as_json:
        name, url = (ended.name, ended.url) if ended else (None, None)
        print_json({"stopped": ended is not None, "name": name, "url": url})
    else:
        note(f"{ended.name} at {ended.url} is stopped." if ended else "Nothing runs here.")
    return ExitCode.OK
