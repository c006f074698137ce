"""The record of runs that deploy or destroy, one file a deployment, beside the manifest.

What it says of a run that was cut off is told to whoever runs again. It decides nothing: what
remains to be done is found by looking at the account.
"""

import json
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from penstock.plan.steps import Step


@dataclass(frozen=True, slots=True)
class Unfinished:
    """A run that did not come to a good end: which command, since when, and in which step.

    `failure` is why it gave up; it is empty where the run was cut off.
    """

    command: str
    began: str
    step: str
    failure: str


class FileJournal:
    """The file; `place` (account and region) tells runs in different accounts apart."""

    def __init__(
        self,
        folder: Path,
        deployment: str,
        place: str,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._file, self._place, self._now = folder / f"deploy-{deployment}.json", place, now
        self._run: dict[str, object] = {}
        self._steps: list[dict[str, str]] = []

    def unfinished(self) -> Unfinished | None:
        """The last run here, if it did not come to a good end."""
        try:
            told = json.loads(self._file.read_text("utf-8"))
            if told["place"] != self._place or told["ended"]:
                return None
            open_steps = [each["step"] for each in told["steps"] if not each["ended"]]
            step = open_steps[-1] if open_steps else ""
            return Unfinished(told["command"], told["began"], step, told["failure"])
        except (OSError, ValueError, LookupError, TypeError):
            return None  # a record that cannot be read tells nothing, and nothing rests on it

    def open(self, command: str) -> None:
        """A run begins."""
        self._steps = []
        self._run = {
            "command": command,
            "place": self._place,
            "began": self._stamp(),
            "ended": "",
            "failure": "",
            "steps": self._steps,
        }
        self._write()

    def begin(self, step: Step) -> None:
        """A step is about to be done."""
        self._steps.append({"step": str(step), "began": self._stamp(), "ended": ""})
        self._write()

    def end(self, step: Step) -> None:
        """A step is done."""
        self._steps[-1]["ended"] = self._stamp()
        self._write()

    def fail(self, what: str) -> None:
        """The run gives up."""
        self._run["failure"] = what
        self._write()

    def close(self) -> None:
        """The run has come to its end."""
        self._run["ended"] = self._stamp()
        self._write()

    def forget(self) -> None:
        """Nothing is deployed any more."""
        with suppress(FileNotFoundError):
            self._file.unlink()

    def _stamp(self) -> str:
        return self._now().isoformat(timespec="seconds")

    def _write(self) -> None:
        self._file.parent.mkdir(parents=True, exist_ok=True)
        draft = self._file.with_suffix(".new")
        draft.write_text(json.dumps(self._run, indent=1) + "\n", encoding="utf-8")
        draft.replace(self._file)
