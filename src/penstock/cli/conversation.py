"""What has been said so far, and how one more turn is taken."""

from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass, field

from penstock.cli.client import Client, Ended, Piece, Text


@dataclass(frozen=True, slots=True)
class Answer:
    """One answer: its text, the tools that were run for it, how it ended.

    `ended` is None when the user stopped it.
    """

    text: str
    tools: tuple[str, ...]
    ended: Ended | None


@dataclass(slots=True)
class Conversation:
    """A chat of several turns with one model; `messages` are in OpenAI's form."""

    model: str
    system: str | None = None
    tools: bool = True
    messages: list[dict[str, str]] = field(default_factory=list)

    def reset(self) -> None:
        """Forget all turns; the system message stays."""
        self.messages.clear()

    def request(self, prompt: str) -> dict[str, object]:
        """The request that asks `prompt` after all that was said."""
        first = [{"role": "system", "content": self.system}] if self.system else []
        asked = {"role": "user", "content": prompt}
        request: dict[str, object] = {
            "model": self.model,
            "messages": [*first, *self.messages, asked],
        }
        return request if self.tools else {**request, "tool_choice": "none"}

    def take_turn(self, client: Client, prompt: str, show: Callable[[Piece], None]) -> Answer:
        """Ask `prompt`, `show` each piece of the answer, and remember both.

        Ctrl-C stops the answer: what came of it is kept. After an error nothing is kept.

        Raises:
            PenstockError: as for `Client.stream`.
        """
        texts: list[str] = []
        tools: list[str] = []
        ended = None
        try:
            with closing(client.stream(self.request(prompt))) as pieces:
                for piece in pieces:
                    if isinstance(piece, Text):
                        texts.append(piece.text)
                    elif isinstance(piece, Ended):
                        ended = piece
                    elif piece.status == "started":
                        tools.append(piece.name)
                    show(piece)
        except KeyboardInterrupt:
            ended = None
        text = "".join(texts)
        if text or ended:
            self.messages += [
                {"role": "user", "content": prompt},
                {"role": "assistant", "content": text},
            ]
        return Answer(text, tuple(tools), ended)
