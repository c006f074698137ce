"""An OpenAI-compatible endpoint under load: sends requests and keeps their answers."""

import asyncio
import json
import time
from collections.abc import Iterator
from types import TracebackType
from typing import Self
from uuid import uuid4

from penstock.engines.conduit.connection import Exchange
from penstock.engines.conduit.pool import Pool
from penstock.ground.errors import EngineUnavailable, NotAllowed, RequestError
from penstock.measurement.answer import Answer
from penstock.measurement.summary import Summary, Window, summarize
from penstock.measurement.workload import Workload, Yardstick, prompts, yardstick

_PATH = b"/v1/chat/completions"
_FEW_WORDS, _MANY_WORDS = 8, 108
_DRAIN_S = 30.0
_PROBE_S = 120.0


class Endpoint:
    """One model at one address; an async context manager.

    `fixed_length` says whether the endpoint can be told to go on until the answer is as long as
    asked (`ignore_eos` of vLLM); elsewhere answers end when the model ends them.
    """

    def __init__(self, url: str, key: str | None, model: str) -> None:
        headers = {"authorization": f"Bearer {key}"} if key else {}
        self._pool = Pool(url, headers, name=url)
        self._model = model
        self.fixed_length = True
        self._yardstick = Yardstick(0.0, 1.0)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self._pool.close()

    async def get_acquainted(self) -> None:
        """Learn how the endpoint counts the tokens of a prompt, and which fields it takes.

        Raises:
            EngineUnavailable: nothing answers, or it answers nothing that can be measured.
            NotAllowed: the key is refused.
            RequestError: the request is refused.
        """
        few = await self._probe(_FEW_WORDS)
        if few.status in (400, 422):
            self.fixed_length = False
            few = await self._probe(_FEW_WORDS)
        _refuse(few)
        many = await self._probe(_MANY_WORDS)
        _refuse(many)
        if few.prompt_tokens and many.prompt_tokens > few.prompt_tokens:
            self._yardstick = yardstick(
                (_FEW_WORDS, few.prompt_tokens), (_MANY_WORDS, many.prompt_tokens)
            )

    async def measure(self, workload: Workload) -> Summary:
        """Put `workload` on the endpoint and sum up what came back."""
        words = self._yardstick.words(workload.prompt_tokens)
        run = _Run(self, workload, prompts(words, workload.seed))
        return await run.take()

    def send(self, prompt: str, tokens: int, answer: Answer) -> Exchange:
        """Ask for an answer of `tokens` tokens."""
        request: dict[str, object] = {
            "model": self._model,
            "messages": [{"role": "user", "content": prompt}],
            "max_tokens": tokens,
            "stream": True,
            "stream_options": {"include_usage": True},
        }
        if self.fixed_length:
            request["ignore_eos"] = True
        answer.sent = time.perf_counter()
        return self._pool.post(_PATH, json.dumps(request).encode(), answer, uuid4().hex.encode())

    def cancel(self, exchange: Exchange) -> None:
        """Give an answer up."""
        self._pool.cancel(exchange)

    async def _probe(self, words: int) -> Answer:
        done: asyncio.Future[Answer] = asyncio.get_running_loop().create_future()
        answer = Answer(done.set_result)
        exchange = self.send(next(prompts(words, seed=words)), 2, answer)
        try:
            async with asyncio.timeout(_PROBE_S):
                return await done
        except TimeoutError as error:
            self.cancel(exchange)
            what = f"the endpoint did not answer within {_PROBE_S:.0f} s"
            raise EngineUnavailable(what, fix="`penstock status` shows how it is.") from error


class _Run:
    """One workload while it lasts."""

    def __init__(self, endpoint: Endpoint, workload: Workload, texts: Iterator[str]) -> None:
        self._endpoint = endpoint
        self._workload = workload
        self._texts = texts
        self._answers: list[Answer] = []
        self._open: dict[Answer, Exchange] = {}
        self._sending = True
        self._idle = asyncio.Event()

    async def take(self) -> Summary:
        """Warm up, measure, and wait for the answers that are still on their way."""
        workload = self._workload
        sender = asyncio.create_task(self._send_on_time()) if not workload.clients else None
        for _ in range(workload.clients):
            self._send()
        try:
            await asyncio.sleep(workload.warm_up_s)
            begin, cpu = time.perf_counter(), time.process_time()
            await asyncio.sleep(workload.seconds)
            end, used = time.perf_counter(), time.process_time() - cpu
        finally:
            self._sending = False
            if sender:
                sender.cancel()
                await asyncio.gather(sender, return_exceptions=True)
        await self._drain()
        window = Window(begin, end, used / (end - begin))
        return summarize(workload, self._answers, window)

    async def _send_on_time(self) -> None:
        begun = time.perf_counter()
        for at in self._workload.arrivals():
            await asyncio.sleep(max(0.0, begun + at - time.perf_counter()))
            self._send()

    def _send(self) -> None:
        answer = Answer(self._on_done)
        self._answers.append(answer)
        self._open[answer] = self._endpoint.send(
            next(self._texts), self._workload.output_tokens, answer
        )

    def _on_done(self, answer: Answer) -> None:
        self._open.pop(answer, None)
        if self._sending and self._workload.clients:
            # not at once: a refusal that comes back at once must not become a busy loop
            wait_s = 0.05 if answer.error else 0.0
            asyncio.get_running_loop().call_later(wait_s, self._send_again)
        elif not self._open:
            self._idle.set()

    def _send_again(self) -> None:
        if self._sending:
            self._send()

    async def _drain(self) -> None:
        if self._open:
            self._idle.clear()
            try:
                async with asyncio.timeout(_DRAIN_S):
                    await self._idle.wait()
            except TimeoutError:
                pass
        for answer, exchange in list(self._open.items()):
            self._endpoint.cancel(exchange)
            answer.ended = time.perf_counter()
            answer.error = f"no end within {_DRAIN_S:.0f} s of the last request"


def _refuse(answer: Answer) -> None:
    if not answer.error:
        return
    if answer.status in (401, 403):
        raise NotAllowed(answer.error, fix="Give a key with --key or PENSTOCK_API_KEY.")
    if 400 <= answer.status < 500:
        raise RequestError(answer.error)
    raise EngineUnavailable(answer.error, fix="`penstock status` shows how it is.")
