import json

from tests.cli.conftest import Run
from tests.fakes.openai_server import KEY, MODEL, FakeGateway


def test_it_prints_the_answer(run: Run, gateway: FakeGateway) -> None:
    ran = run("invoke", "hi", "--max-tokens", "5", "--temperature", "0", "--system", "S")
    assert (ran.code, ran.out, ran.err) == (0, "You said: hi.\n", "")
    assert gateway.asked == [
        {
            "model": MODEL,
            "messages": [
                {"role": "system", "content": "S"},
                {"role": "user", "content": "hi"},
            ],
            "max_tokens": 5,
            "temperature": 0.0,
        }
    ]


def test_the_prompt_may_come_from_a_pipe(run_process: Run, gateway: FakeGateway) -> None:
    ran = run_process("invoke", "-", "--model", "org-a", given="from a\npipe\n")
    assert ran.out == "You said: from a\npipe.\n"
    assert gateway.asked[0]["model"] == "org-a"


def test_an_empty_prompt_is_refused(run: Run) -> None:
    ran = run("invoke", "")
    assert ran.code == 2
    assert "the prompt is empty" in ran.err


def test_json_is_the_answer_as_it_came(run: Run, gateway: FakeGateway) -> None:
    answer = json.loads(run("invoke", "hi", "--json").out)
    assert answer["choices"][0]["message"]["content"] == "You said: hi."
    assert gateway.asked[0]["model"] == answer["model"]


def test_a_stream_is_printed_as_it_comes(run: Run, gateway: FakeGateway) -> None:
    ran = run("invoke", "long", "--stream")
    assert ran.out == "You said: long.\n"
    assert "--max-tokens" in ran.err
    assert gateway.asked[0]["stream"] is True


def test_a_stream_as_json_is_one_object_a_piece(run: Run, gateway: FakeGateway) -> None:
    lines = run("invoke", "tool", "--stream", "--json").out.splitlines()
    kinds = [json.loads(line)["type"] for line in lines]
    assert kinds == ["tool", "tool", "text", "text", "text", "end"]
    assert len(gateway.asked) == 1


def test_a_broken_answer_is_a_failure_of_the_engine(run: Run, gateway: FakeGateway) -> None:
    ran = run("invoke", "break", "--stream")
    assert ran.code == 4
    assert ran.out == "You \n"
    assert ran.err == "error: the answer broke off before its end.\n"
    assert len(gateway.asked) == 1


def test_a_wrong_key_is_the_users_mistake(run: Run, gateway: FakeGateway) -> None:
    ran = run("invoke", "hi", "--key", "wrong", "--json")
    assert ran.code == 2
    assert json.loads(ran.err)["error"]["type"] == "NotAllowed"
    assert KEY not in ran.err
    assert gateway.asked == []


def test_without_a_stack_it_says_what_to_do(run: Run) -> None:
    ran = run("invoke", "hi")
    assert ran.code == 2
    assert "Start a stack with `penstock up`" in ran.err
