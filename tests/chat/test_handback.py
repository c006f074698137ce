"""Turns that hand calls back, and requests that take them up again."""

import json
from collections.abc import Mapping, Sequence
from typing import Any

import pytest
from tests.fakes.chat_engine import Json, ScriptedEngine, answer, call, sse
from tests.fakes.chat_tools import ONE_NUMBER, ActTool, returns

from penstock.chat.calls import Bounds
from penstock.chat.continuation import Continuations, MemoryLedger
from penstock.chat.events import Chunk, Event, Finished, ToolFinished
from penstock.chat.ports import Tool
from penstock.chat.request import read_request
from penstock.chat.sse import Splitter
from penstock.chat.toolbox import Toolbox
from penstock.chat.turn import Turn
from penstock.ground.clock import FakeClock
from penstock.ground.errors import RequestError

HI: Json = {"role": "user", "content": "hi"}
MINE: Json = {"type": "function", "function": {"name": "mine", "parameters": {"type": "object"}}}


class Desk:
    """One gateway's turns for one key: tools, approvals and memory."""

    def __init__(self, *tools: Tool, approve: Sequence[str] = (), scope: str = "org-a") -> None:
        self.wall = FakeClock()
        self.box = Toolbox(tools, approve)
        self.ledger = MemoryLedger(self.wall)
        self.scope, self.holder = scope, "key-1"
        self.engine = ScriptedEngine()
        self.events: list[Event] = []

    async def ask(
        self, messages: Sequence[Json], *answers: Sequence[Json], **fields: object
    ) -> Finished:
        """Run a turn over an engine that gives `answers`."""
        self.engine = ScriptedEngine(*([sse(each)] for each in answers))
        body: Json = {"model": "m", "messages": list(messages), "tools": [MINE], "stream": True}
        body |= fields
        continuations = Continuations(
            key=b"k" * 32, scope=self.scope, holder=self.holder, ledger=self.ledger, wall=self.wall
        )
        turn = Turn(
            read_request(json.dumps(body).encode()),
            self.engine,
            self.box,
            Bounds(max_rounds=3),
            FakeClock(),
            continuations,
        )
        self.events = []
        await turn.run(self.events.append)
        last = self.events[-1]
        assert isinstance(last, Finished)
        return last

    @property
    def streamed(self) -> list[Json]:
        """The chunks a streaming client got."""
        data = b"".join(event.data for event in self.events if isinstance(event, Chunk))
        return [json.loads(each) for each in Splitter().feed(data)]


def message_of(finished: Finished) -> Json:
    """The assistant's message as a client keeps it: known fields only."""
    calls = finished.message.tool_calls or ()
    return {
        "role": "assistant",
        "content": finished.message.content,
        "tool_calls": [
            {
                "id": each.id,
                "type": "function",
                "function": {"name": each.function.name, "arguments": each.function.arguments},
            }
            for each in calls
        ],
    }


def result(shown_id: str, content: object) -> Json:
    text = content if isinstance(content, str) else json.dumps(content)
    return {"role": "tool", "tool_call_id": shown_id, "content": text}


def ids_of(finished: Finished) -> list[str]:
    return [each.id for each in finished.message.tool_calls or ()]


async def test_calls_of_the_client_alone_pass_with_their_own_ids() -> None:
    desk = Desk(returns("ours", 7))
    done = await desk.ask([HI], answer(calls=[call("mine", '{"a": 1}', "call_x")]))
    assert ids_of(done) == ["call_x"]
    assert (done.finish_reason, done.tool_rounds, done.metadata.approvals) == ("tool_calls", 0, ())
    names = [tool["function"]["name"] for tool in desk.engine.bodies[0]["tools"]]
    assert names == ["ours", "mine"]
    chunks = desk.streamed
    calls = [c for c in chunks if c["choices"][0]["delta"].get("tool_calls")]
    assert calls[0]["choices"][0]["delta"]["tool_calls"] == [
        {"index": 0, "id": "call_x", "type": "function",
         "function": {"name": "mine", "arguments": '{"a": 1}'}}
    ]  # fmt: skip
    assert chunks[-1]["choices"][0]["finish_reason"] == "tool_calls"


async def mixed_round(desk: Desk) -> tuple[Finished, list[Json]]:
    """A round of ours, then a round of both kinds; returns the answer and the model's view."""
    done = await desk.ask(
        [HI],
        answer(["First. "], [call("ours", "{}", "call_a")]),
        answer(["Then. "], [call("mine", '{"a": 1}', "call_b"), call("ours", "{}", "call_c", 1)]),
    )
    function = {"name": "ours", "arguments": "{}"}
    ours: Json = {"type": "function", "function": function}
    mine: Json = {"type": "function", "function": {"name": "mine", "arguments": '{"a": 1}'}}
    return done, [
        HI,
        {"role": "assistant", "content": "First. ", "tool_calls": [{"id": "call_a"} | ours]},
        result("call_a", "7"),
        {
            "role": "assistant",
            "content": "Then. ",
            "tool_calls": [{"id": "call_b"} | mine, {"id": "call_c"} | ours],
        },
        result("call_c", "7"),
    ]


async def test_a_mixed_round_is_resumed_as_the_model_saw_it() -> None:
    desk = Desk(returns("ours", 7))
    done, view = await mixed_round(desk)
    assert done.message.content == "First. Then. "
    assert done.tool_rounds == 2
    assert [each.function.name for each in done.message.tool_calls or ()] == ["mine"]
    shown = ids_of(done)[0]
    again = await desk.ask([HI, message_of(done), result(shown, "42")], answer(["Done."]))
    assert again.message.content == "Done."
    assert desk.engine.bodies[0]["messages"] == [*view, result("call_b", "42")]

    later = [HI, message_of(done), result(shown, "42"), {"role": "assistant", "content": "Done."}]
    await desk.ask([*later, HI], answer(["Yes."]), tool_choice="none")
    assert desk.engine.bodies[0]["messages"][:5] == view
    assert desk.engine.bodies[0]["messages"][6:] == [later[-1], HI]
    assert "tools" not in desk.engine.bodies[0]


async def test_a_resumed_turn_may_hand_back_again() -> None:
    desk = Desk(returns("ours", 7))
    done, view = await mixed_round(desk)
    told = [HI, message_of(done), result(ids_of(done)[0], "42")]
    second = await desk.ask(
        told,
        answer(calls=[call("ours", "{}", "call_d")]),
        answer(calls=[call("mine", "{}", "call_e")]),
    )
    await desk.ask([*told, message_of(second), result(ids_of(second)[0], "43")], answer(["Done."]))
    messages = desk.engine.bodies[0]["messages"]
    assert messages[:5] == view
    assert [m.get("tool_call_id") for m in messages[5:]] == [
        "call_b", None, "call_d", None, "call_e"
    ]  # fmt: skip


async def test_another_tenant_cannot_resume() -> None:
    done, _ = await mixed_round(Desk(returns("ours", 7)))
    thief = Desk(returns("ours", 7), scope="org-b")
    with pytest.raises(RequestError) as caught:
        await thief.ask([HI, message_of(done), result(ids_of(done)[0], "42")], answer(["x"]))
    assert caught.value.code == "invalid_continuation"
    assert thief.engine.bodies == []


async def test_a_name_clash_is_refused() -> None:
    with pytest.raises(RequestError) as caught:
        await Desk(returns("mine", 7)).ask([HI], answer(["x"]))
    assert (caught.value.param, caught.value.code) == ("tools", "tool_name_taken")


async def test_at_the_bound_only_the_client_s_tools_are_offered() -> None:
    desk = Desk(returns("ours", 7))
    rounds = [answer(calls=[call("ours", "{}", f"call_{n}")]) for n in range(3)]
    last = answer(calls=[call("mine", "{}", "call_m"), call("ours", "{}", "call_o", 1)])
    done = await desk.ask([HI], *rounds, last)
    assert done.bound == "rounds"
    assert [each.function.name for each in done.message.tool_calls or ()] == ["mine"]
    offered = desk.engine.bodies[-1]["tools"]
    assert [tool["function"]["name"] for tool in offered] == ["mine"]


async def test_an_answer_cut_short_hands_back_what_there_is() -> None:
    done = await Desk(returns("ours", 7)).ask(
        [HI], answer(calls=[call("mine", '{"a', "call_m")], finish="length")
    )
    assert (done.finish_reason, ids_of(done)) == ("length", ["call_m"])


# Approval


def payer() -> ActTool:
    async def pay(arguments: Mapping[str, object]) -> object:
        return {"paid": arguments["n"]}

    return ActTool("pay", pay, parameters=ONE_NUMBER, idempotent=False)


PAY = call("pay", '{"n": 5}', "call_p")


async def pause(desk: Desk, *others: Json) -> Finished:
    return await desk.ask([HI], answer(["May I? "], [PAY, *others]))


def yes(finished: Finished, approved: object = True, at: int = 0) -> list[Json]:
    return [HI, message_of(finished), result(ids_of(finished)[at], {"approved": approved})]


async def test_a_call_waits_for_approval_and_then_runs_once() -> None:
    tool = payer()
    desk = Desk(tool, approve=["pay"])
    done = await pause(desk)
    assert tool.calls == []
    assert done.finish_reason == "tool_calls"
    (asked,) = done.metadata.approvals
    assert (asked.name, asked.arguments, asked.expires_at) == ("pay", '{"n": 5}', 900)
    assert asked.tool_call_id == ids_of(done)[0]
    metadata = [c["metadata"] for c in desk.streamed if "metadata" in c]
    assert [each["name"] for each in metadata[0]["approvals"]] == ["pay"]

    again = await desk.ask(yes(done), answer(["Paid."]))
    assert tool.calls == [{"n": 5}]
    assert again.message.content == "Paid."
    assert desk.engine.bodies[0]["messages"][-1] == result("call_p", {"paid": 5})
    with pytest.raises(RequestError) as caught:
        await desk.ask(yes(done), answer(["x"]))
    assert caught.value.code == "approval_used"
    assert tool.calls == [{"n": 5}]


@pytest.mark.parametrize(
    "said", ["", "yes", "true", "null", '{"approved": "true"}', '{"approved": 1}', "[]",
             '{"approved": false}', '{"ok": true}', "Error: unknown tool pay"]
)  # fmt: skip
async def test_whatever_is_not_plainly_a_yes_is_a_no(said: str) -> None:
    tool = payer()
    desk = Desk(tool, approve=["pay"])
    done = await pause(desk)
    await desk.ask([HI, message_of(done), result(ids_of(done)[0], said)], answer(["Pity."]))
    assert tool.calls == []
    assert "did not approve" in desk.engine.bodies[0]["messages"][-1]["content"]
    outcomes = [event.outcome for event in desk.events if isinstance(event, ToolFinished)]
    assert outcomes == ["denied"]


async def test_an_answer_in_parts_is_read() -> None:
    tool = payer()
    desk = Desk(tool, approve=["pay"])
    messages = yes(await pause(desk))
    messages[-1]["content"] = [{"type": "text", "text": messages[-1]["content"]}]
    await desk.ask(messages, answer(["Paid."]))
    assert tool.calls == [{"n": 5}]


async def test_the_call_that_was_asked_for_runs_whatever_the_client_writes() -> None:
    tool = payer()
    desk = Desk(tool, approve=["pay"])
    messages = yes(await pause(desk))
    messages[1]["tool_calls"][0]["function"] = {"name": "pay", "arguments": '{"n": 5000}'}
    await desk.ask(messages, answer(["Paid."]))
    assert tool.calls == [{"n": 5}]


async def test_without_an_answer_nothing_runs() -> None:
    tool = payer()
    desk = Desk(tool, approve=["pay"])
    done = await pause(desk)
    with pytest.raises(RequestError) as caught:
        await desk.ask([HI, message_of(done)], answer(["x"]))
    assert caught.value.code == "approval_missing"
    twice = yes(done)
    with pytest.raises(RequestError, match="answered twice"):
        await desk.ask([*twice, twice[-1]], answer(["x"]))
    assert tool.calls == []


async def test_expired_foreign_and_forgotten_approvals_run_nothing() -> None:
    tool = payer()
    desk = Desk(tool, approve=["pay"])
    done = await pause(desk)
    desk.holder = "key-2"
    with pytest.raises(RequestError, match="another API key"):
        await desk.ask(yes(done), answer(["x"]))
    desk.holder = "key-1"
    desk.wall.advance(901)
    with pytest.raises(RequestError, match="expired"):
        await desk.ask(yes(done), answer(["x"]))
    other = Desk(tool, approve=["pay"])
    with pytest.raises(RequestError, match="restarted"):
        await other.ask(yes(done), answer(["x"]))
    assert tool.calls == []


async def test_an_answer_further_up_approves_nothing() -> None:
    """Not even one that was never given at the end: the conversation went on without it."""
    tool = payer()
    desk = Desk(tool, approve=["pay"])
    done = await pause(desk)
    await desk.ask([*yes(done), HI], answer(["What?"]))
    assert tool.calls == []
    assert "was decided" in desk.engine.bodies[0]["messages"][-2]["content"]


async def test_all_three_kinds_in_one_round() -> None:
    tool = payer()
    desk = Desk(tool, returns("ours", 7), approve=["pay"])
    done = await pause(desk, call("ours", "{}", "call_o", 1), call("mine", "{}", "call_m", 2))
    names = [each.function.name for each in done.message.tool_calls or ()]
    assert names == ["pay", "mine"]
    assert [asked.name for asked in done.metadata.approvals] == ["pay"]
    first, second = ids_of(done)
    messages = [HI, message_of(done), result(second, "42"), result(first, {"approved": True})]
    third = await desk.ask(messages, answer(calls=[call("mine", "{}", "call_n")]))
    told = desk.engine.bodies[0]["messages"][2:]
    assert told == [
        result("call_o", "7"), result("call_m", "42"), result("call_p", {"paid": 5})
    ]  # fmt: skip

    await desk.ask([*messages, message_of(third), result(ids_of(third)[0], "43")], answer(["."]))
    assert desk.engine.bodies[0]["messages"][2:5] == told, "the result is not lost"
    assert tool.calls == [{"n": 5}]


async def test_a_call_that_would_fail_anyway_is_not_asked_for() -> None:
    desk = Desk(payer(), approve=["pay"])
    done = await desk.ask([HI], answer(calls=[call("pay", '{"n": "x"}')]), answer(["Sorry."]))
    assert (done.finish_reason, done.metadata.approvals) == ("stop", ())
    assert "do not fit" in desk.engine.bodies[1]["messages"][-1]["content"]


async def test_where_nobody_can_be_asked_the_call_is_denied() -> None:
    tool = payer()
    body: Any = {"model": "m", "messages": [HI]}
    engine = ScriptedEngine([sse(answer(calls=[PAY]))], [sse(answer(["No."]))])
    turn = Turn(read_request(json.dumps(body).encode()), engine, Toolbox([tool], ["pay"]))
    seen: list[Event] = []
    await turn.run(seen.append)
    outcomes = [event.outcome for event in seen if isinstance(event, ToolFinished)]
    assert (outcomes, tool.calls) == (["denied"], [])


def test_a_turn_with_client_tools_needs_continuations() -> None:
    body: Any = {"model": "m", "messages": [HI], "tools": [MINE]}
    with pytest.raises(ValueError, match="handed back"):
        Turn(read_request(json.dumps(body).encode()), ScriptedEngine(), Toolbox())
