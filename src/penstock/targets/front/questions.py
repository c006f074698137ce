"""What is asked of a gateway once it stands: whether it is up, and whether it answers."""

from collections.abc import Callable
from dataclasses import dataclass, field

import httpx

from penstock.ground.clock import Clock, monotonic
from penstock.ground.errors import CloudError
from penstock.plan.carrying_out import Tell
from penstock.targets.aws.patience import Patience

UP_S, ANSWER_S = 900.0, 90.0
"""How long a new address may take until it answers, and how long an answer may take."""
QUESTION = {"messages": [{"role": "user", "content": "Say hello."}], "max_tokens": 8}


@dataclass(frozen=True, slots=True)
class Door:
    """A gateway's address without `/v1`, the model to ask for, and the headers that open it."""

    url: str
    model: str
    headers: dict[str, str] = field(repr=False)


class GatewayQuestions:
    """Asked of one gateway; `door` finds it, or none where it cannot be asked from here."""

    def __init__(self, door: Callable[[Tell], Door | None], clock: Clock = monotonic) -> None:
        self._door, self._clock = door, clock

    def ask(self, tell: Tell) -> None:
        """Wait until it is up, then ask as clients will.

        Raises:
            CloudError: it does not come up, or what came back is no answer.
        """
        door = self._door(tell)
        if door is None:
            return
        with httpx.Client(headers=door.headers, timeout=ANSWER_S) as client:
            self._wait(client, door, tell)
            begin = self._clock()
            answer = self._post(client, door)
            if answer.status_code == 503 and "retry-after" in answer.headers:
                tell(f"{door.url} says that the model sleeps; the request wakes it")
                return
            said = _text(answer, door)
            tell(f"{door.url} answers in {(self._clock() - begin) * 1e3:.0f} ms: {said!r}")

    def _wait(self, client: httpx.Client, door: Door, tell: Tell) -> None:
        patience, last = Patience(f"gateway {door.url}", still_s=UP_S), ""
        while True:
            try:
                answer = client.get(f"{door.url}/v1/models")
                if answer.status_code == 200:
                    return
                state = f"{door.url}/v1/models answers {answer.status_code}"
            except httpx.TransportError as error:
                state = f"{door.url} cannot be reached: {error}"
            if state != last:
                tell(f"{state}; waiting")
                last = state
            try:
                patience.pause()
            except CloudError:
                raise CloudError(
                    f"the gateway did not come up in {UP_S / 60:.0f} minutes",
                    why=last,
                    fix="`penstock logs gateway` shows what it wrote; a name of your own "
                    "(front.domain) needs its record in DNS",
                ) from None

    def _post(self, client: httpx.Client, door: Door) -> httpx.Response:
        try:
            asked = {**QUESTION, "model": door.model}
            return client.post(f"{door.url}/v1/chat/completions", json=asked)
        except httpx.TransportError as error:
            raise CloudError(f"{door.url} does not answer", why=str(error)) from error


def _text(answer: httpx.Response, door: Door) -> str:
    try:
        if answer.status_code == 200:
            return str(answer.json()["choices"][0]["message"]["content"]).strip()
    except (ValueError, LookupError, TypeError):
        pass
    raise CloudError(
        f"{door.url} does not answer as it should",
        why=f"{answer.status_code}: {answer.text[:300]}",
        fix="`penstock logs gateway` shows what it wrote",
    )
