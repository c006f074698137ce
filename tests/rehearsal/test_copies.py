"""Copies of a model that go end what they have begun."""

import json
import threading
from pathlib import Path

from tests.rehearsal.account import wait_for

from penstock.rehearsal.copies import Copies

AS_LONG_AS_IT_TAKES_S = 120.0
BODY = json.dumps({"messages": [{"role": "user", "content": "Hello"}], "max_tokens": 8})


def test_a_request_in_flight_is_answered_before_its_engine_ends(tmp_path: Path) -> None:
    copies = Copies(tmp_path, AS_LONG_AS_IT_TAKES_S)
    assert copies.resize(1)
    engine = copies.next()
    assert engine is not None
    copies.count(1)
    ending = threading.Thread(target=copies.stop)
    ending.start()
    wait_for(lambda: copies.next() is None)  # no new request comes to it
    connection = engine.connect()
    connection.request("POST", "/v1/chat/completions", BODY, {"Content-Type": "application/json"})
    answer = connection.getresponse()
    assert answer.status == 200
    assert json.loads(answer.read())["choices"][0]["message"]["content"]
    connection.close()
    copies.count(-1)
    ending.join(60)
    assert not engine.alive()
