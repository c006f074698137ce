import pytest
from tests.fakes.openai_server import KEY, MODEL, FakeGateway

from penstock.cli.address import Address
from penstock.cli.client import Client, Piece
from penstock.cli.conversation import Conversation
from penstock.ground.errors import EngineDied


def ignore(piece: Piece) -> None:
    pass


def stop(piece: Piece) -> None:
    raise KeyboardInterrupt


def test_turns_are_remembered(gateway: FakeGateway) -> None:
    talk = Conversation(MODEL, system="Be brief.")
    with Client(Address(gateway.url, KEY)) as client:
        talk.take_turn(client, "one", ignore)
        answer = talk.take_turn(client, "tool", ignore)
    assert answer.text == "You said: tool."
    assert answer.tools == ("calculate_math",)
    assert [message["content"] for message in gateway.asked[-1]["messages"]] == [
        "Be brief.",
        "one",
        "You said: one.",
        "tool",
    ]
    talk.reset()
    assert len(talk.messages) == 0
    assert talk.request("x")["messages"] == [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": "x"},
    ]


def test_tools_can_be_declined() -> None:
    assert "tool_choice" not in Conversation(MODEL).request("x")
    assert Conversation(MODEL, tools=False).request("x")["tool_choice"] == "none"


def test_a_failed_turn_is_forgotten(gateway: FakeGateway) -> None:
    talk = Conversation(MODEL)
    with Client(Address(gateway.url, KEY)) as client, pytest.raises(EngineDied):
        talk.take_turn(client, "break", ignore)
    assert talk.messages == []


def test_what_was_shown_before_a_stop_is_remembered(gateway: FakeGateway) -> None:
    talk = Conversation(MODEL)
    with Client(Address(gateway.url, KEY)) as client:
        answer = talk.take_turn(client, "hang", stop)
    assert answer.ended is None
    assert talk.messages[-1] == {"role": "assistant", "content": "You "}
    assert gateway.closed_early.wait(60)


def test_a_turn_stopped_before_its_first_word_is_forgotten(gateway: FakeGateway) -> None:
    talk = Conversation(MODEL)
    with Client(Address(gateway.url, KEY)) as client:
        talk.take_turn(client, "tool", stop)
    assert talk.messages == []
