"""`penstock status`: what runs here, and how it is."""

import time
from dataclasses import asdict
from pathlib import Path

from penstock.cli.output import AsJson, ExitCode, note, print_json, print_text
from penstock.targets.local.state import RunState, find_directory, read_state


def command(as_json: AsJson = False) -> int:
    """Show what runs on this machine, and how it is.

    Exit code 1 when nothing runs. With --json, stdout carries {"running": true, ...} and all that
    `.penstock/run.json` holds, but for the key.
    """
    state = read_state(find_directory(Path.cwd()))
    if as_json:
        facts = asdict(state) if state else {}
        facts.pop("api_key", None)  # output ends in logs; the key is in .penstock/run.json
        print_json({"running": state is not None, **facts})
    elif state is None:
        note("Nothing runs here. Start it with `penstock up`.")
    else:
        _show(state)
    return ExitCode.OK if state else ExitCode.FAILED


def _show(state: RunState) -> None:
    minutes, seconds = divmod(int(time.time() - state.started_s), 60)
    print_text(f"{state.name} is {state.phase} at {state.url}/v1, for {minutes} min {seconds} s")
    print_text(f"model {state.model}, supervisor pid {state.pid}, API key in .penstock/run.json")
    if state.engine_url:
        print_text(f"engine at {state.engine_url} (not started by Penstock)")
    for service in state.services:
        pid = f"pid {service.pid}" if service.pid else "no process"
        line = f"{service.name:10} {service.phase:11} {pid}, {service.restarts} restarts"
        print_text(f"{line}, last {service.last_end}" if service.last_end else line)
