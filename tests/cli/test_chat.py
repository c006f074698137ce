import json
import os
import select
import sys
from collections.abc import Iterator
from contextlib import contextmanager

from tests.cli.conftest import Run
from tests.fakes.openai_server import MODEL, FakeGateway

if sys.platform != "win32":
    import pty


def test_each_line_of_a_pipe_is_a_turn(run_process: Run, gateway: FakeGateway) -> None:
    ran = run_process("chat", given="one\n\ntwo\n/reset\nthree\n/exit\nfour\n")
    assert ran.code == 0
    assert ran.out == "You said: one.\nYou said: two.\nYou said: three.\n"
    assert ran.err == ""
    assert [len(request["messages"]) for request in gateway.asked] == [1, 3, 1]


def test_answers_are_json_when_asked(run_process: Run, gateway: FakeGateway) -> None:
    ran = run_process("chat", "--json", "--no-tools", "--system", "S", given="tool\n")
    assert json.loads(ran.out) == {
        "content": "You said: tool.",
        "tools": ["calculate_math"],
        "finish_reason": "stop",
        "model": MODEL,
        "usage": {"prompt_tokens": 3, "completion_tokens": 4, "total_tokens": 7},
    }
    assert gateway.asked[0]["tool_choice"] == "none"


def test_a_failed_turn_ends_a_pipe(run_process: Run, gateway: FakeGateway) -> None:
    ran = run_process("chat", given="one\nrefuse\ntwo\n")
    assert ran.code == 1
    assert ran.out == "You said: one.\n"
    assert ran.err == "error: too many requests. Try again in 7 s.\n"
    assert len(gateway.asked) == 2


class Terminal:
    """The other side of a pseudo-terminal."""

    def __init__(self, descriptor: int) -> None:
        self.descriptor, self.seen = descriptor, ""

    def type(self, text: str) -> None:
        os.write(self.descriptor, text.encode())

    def answer_to(self, text: str, awaited: str) -> str:
        """Type `text` at the next prompt and read until `awaited` has come."""
        self.wait_for("> ")
        self.type(text)
        return self.wait_for(awaited)

    def interrupt(self, awaited: str) -> None:
        """Press Ctrl-C at the next prompt and read until `awaited` has come.

        Python's `input` waits on where it comes between the prompt and the wait for a key.
        """
        self.wait_for("> ")
        self.type("\x03")
        while awaited not in self.seen:
            if select.select([self.descriptor], [], [], 5.0)[0]:
                self.seen += os.read(self.descriptor, 65536).decode()
            else:
                self.type("\x03")
        self.wait_for(awaited)

    def wait_for(self, text: str) -> str:
        """Read until `text` has come; returns what was seen since the last wait."""
        while text not in self.seen:
            self.seen += os.read(self.descriptor, 65536).decode()
        before, _, self.seen = self.seen.partition(text)
        return before + text


@contextmanager
def penstock_chat() -> Iterator[Terminal]:
    """`penstock chat` in a pseudo-terminal; must have ended with 0 at the end."""
    pid, descriptor = pty.fork()
    if pid == 0:
        os.execv(sys.executable, [sys.executable, "-m", "penstock.cli.app", "chat"])  # noqa: S606
    try:
        yield Terminal(descriptor)
        assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
    finally:
        os.close(descriptor)


def test_a_person_talks_stops_and_leaves(gateway: FakeGateway) -> None:
    with penstock_chat() as terminal:
        terminal.wait_for(f"{MODEL} listens")
        assert "used calculate_math (ok)" in terminal.answer_to("tool\n", "You said: tool.")
        terminal.answer_to("hang\n", "You said: ")
        terminal.type("\x03")
        terminal.wait_for("(stopped)")
        assert gateway.closed_early.wait(60)
        terminal.interrupt("Ctrl-D or /exit leaves.")
        terminal.answer_to("/model org-a\n", "* org-a")
        terminal.answer_to("refuse\n", "too many requests")
        terminal.answer_to("long\n", "(cut at the longest answer)")
        terminal.answer_to("/what\n", "/reset")
        terminal.answer_to("\x04", "\n")
    assert [request["model"] for request in gateway.asked] == [MODEL, MODEL, "org-a", "org-a"]
    assert gateway.asked[-1]["messages"][-2] == {"role": "assistant", "content": "You said: "}
