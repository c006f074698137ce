"""`penstock status`: what runs here or is deployed, and how it is."""

import asyncio
import time
from dataclasses import asdict
from pathlib import Path

from penstock.cli.deployed import File, find_deployed
from penstock.cli.deployed_status import show_deployed
from penstock.cli.output import AsJson, ExitCode, note, print_json, print_text
from penstock.targets.local.event import Phase
from penstock.targets.local.probe import is_ready
from penstock.targets.local.state import RunState, find_directory, read_state

PATIENCE_S = 10.0
"""A gateway on a busy machine may stand still for a moment, and serves all the same."""


def command(file: File = None, as_json: AsJson = False) -> int:
    """Show what runs on this machine, or is deployed, and how it is.

    Exit code 1 when nothing runs, or when it cannot answer now. With --json, stdout carries
    {"running": true, "serves": true, ...} and what `.penstock/run.json` holds, but for the key;
    of a deployment, {"deployment", "region", "serves", "stacks", "endpoint", "alarms",
    "usd_per_hour", "outputs"}.
    """
    if manifest := find_deployed(file, Path.cwd()):
        return show_deployed(manifest, as_json=as_json)
    state = read_state(find_directory(Path.cwd()))
    serves = state is not None and asyncio.run(is_ready(state.url, "/ready", timeout_s=PATIENCE_S))
    if as_json:
        facts = asdict(state) if state else {}
        facts.pop("api_key", None)  # output ends in logs; the key is in .penstock/run.json
        print_json({"running": state is not None, "serves": serves, **facts})
    elif state is None:
        note("Nothing runs here. Start it with `penstock up`.")
    else:
        _show(state, serves)
    return ExitCode.OK if serves else ExitCode.FAILED


def _show(state: RunState, serves: bool) -> None:
    minutes, seconds = divmod(int(time.time() - state.started_s), 60)
    phase = "degraded" if state.phase == Phase.READY and not serves else state.phase
    print_text(f"{state.name} is {phase} at {state.url}/v1, for {minutes} min {seconds} s")
    if not serves:
        print_text("its gateway does not answer, or sees no engine that does")
    print_text(f"model {state.model}, supervisor pid {state.pid}, API key in .penstock/run.json")
    if state.engine_url:
        print_text(f"engine at {state.engine_url} (not started by Penstock)")
    for service in state.services:
        pid = f"pid {service.pid}" if service.pid else "no process"
        line = f"{service.name:10} {service.phase:11} {pid}, restarts: {service.restarts}"
        print_text(f"{line}, last {service.last_end}" if service.last_end else line)
