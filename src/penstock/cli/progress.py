"""What a user sees while a stack starts, runs and stops: one moving line on a terminal, else text.

All of it goes to stderr; stdout is for data.
"""

from types import TracebackType

from rich.status import Status
from rich.text import Text

from penstock.cli.output import note, terminal
from penstock.ground.clock import Clock, monotonic
from penstock.targets.local.event import STACK, Event, Phase

PLAIN_EVERY_S = 5.0
_BUSY = (Phase.STARTING, Phase.WARMING, Phase.STOPPING)


class Progress:
    """A `Report` that shows events; use it as a context, so that the moving line is removed."""

    def __init__(self, clock: Clock = monotonic) -> None:
        self._clock = clock
        self._console = terminal(stderr=True)
        self._status: Status | None = None
        self._since_s: dict[str, float] = {}
        self._told_s: dict[str, float] = {}
        self._busy: dict[str, str] = {}

    def __enter__(self) -> "Progress":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._stop_moving()

    def __call__(self, event: Event) -> None:
        """Show `event`."""
        if event.service == STACK:
            if event.phase is Phase.STOPPING:
                self._line(Text("stopping"))
            return
        now_s = self._clock()
        begins = event.phase in (Phase.STARTING, Phase.STOPPING)
        if begins and event.service not in self._busy:
            self._since_s[event.service] = self._told_s[event.service] = now_s
        seconds = now_s - self._since_s.get(event.service, now_s)
        if event.phase in _BUSY:
            self._show_busy(event, seconds)
        else:
            self._busy.pop(event.service, None)
            self._show_change(event, seconds)

    def _show_busy(self, event: Event, seconds: float) -> None:
        self._busy[event.service] = f"{event.service}: {event.text}"
        if self._console.is_terminal:
            self._move(seconds)
        elif not event.elapsed_s or self._clock() - self._told_s[event.service] >= PLAIN_EVERY_S:
            self._told_s[event.service] = self._clock()
            self._line(Text(f"{event.service}: {event.text} ({seconds:.0f} s)"))

    def _show_change(self, event: Event, seconds: float) -> None:
        if event.phase is Phase.READY:
            self._line(Text.assemble((event.service, "green"), f": ready after {seconds:.1f} s"))
        elif event.phase is Phase.RESTARTING:
            self._line(Text.assemble((event.service, "bold yellow"), f": {event.text}"))
        if self._busy and self._console.is_terminal:
            self._move(seconds)
        elif not self._busy:
            self._stop_moving()

    def _move(self, seconds: float) -> None:
        text = Text("; ".join(self._busy.values()) + f" ({seconds:.0f} s)")
        if self._status is None:
            self._status = self._console.status(text)
            self._status.start()
        else:
            self._status.update(text)

    def _stop_moving(self) -> None:
        if self._status is not None:
            self._status.stop()
            self._status = None

    def _line(self, text: Text) -> None:
        if self._status is not None:
            self._status.console.print(text, soft_wrap=True)
        else:
            note(text)
