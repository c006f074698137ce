"""The response cache in front of the engines: who may use it, and how an answer is given again.

A request takes part where its own header says so, or where its model is cached and the same
question is bound to get the same answer. What it is given is then a whole answer that the same
tenant got to the same question, as JSON or as a stream, whichever it asks for. Limits and budgets
come first: nothing is looked up for a request that was not admitted.
"""

import asyncio
import logging
import time
from collections.abc import Callable, Coroutine, Iterator, Mapping, Sequence

from prometheus_client.metrics_core import Metric as Family
from prometheus_client.registry import Collector

from penstock.chat.continuation import MARK_BYTES
from penstock.engines.conduit.framing import framed
from penstock.gateway.answer import EVENT_STREAM, JSON, LAST_CHUNK, Answer, Client
from penstock.gateway.cache_header import Wish, wish_of
from penstock.gateway.charges import Charge
from penstock.gateway.faults import fault_of
from penstock.gateway.fields import ChatRequest, CompletionRequest
from penstock.gateway.flights import Flights, Lead
from penstock.gateway.keeper import Place, Shelf
from penstock.gateway.meters import Meters, counter, gauge
from penstock.gateway.passage import NOTHING, Usage
from penstock.gateway.refusals import reason_of
from penstock.gateway.replay import stream_of
from penstock.gateway.settings import CacheSettings
from penstock.gateway.standing import Standing
from penstock.ground import metrics
from penstock.ground.clock import Clock
from penstock.ground.errors import PenstockError
from penstock.registry.cache.canonical import Scope, is_repeatable, key_of, read_fields
from penstock.registry.cache.stored import AnswerStore, Stored

Asked = ChatRequest | CompletionRequest
Proceed = Callable[[Client], Answer]
"""Asks the engines for an answer to this client."""

log = logging.getLogger("penstock.gateway")


class Caching(Collector):
    """The cache of one gateway. Satisfies `server.Background`."""

    def __init__(
        self,
        settings: CacheSettings,
        store: AnswerStore,
        versions: Mapping[str, str],
        secret: bytes,
        meters: Meters,
        *,
        wall: Clock = time.time,
    ) -> None:
        """`versions` tells by model what else than its name says which weights answer."""
        self._settings, self.store, self._wall = settings, store, wall
        self._versions, self._secret, self._meters = versions, secret, meters
        self.always, self.models = "*" in settings.models, frozenset(settings.models)
        """Which models it is for, where a request does not say so itself."""
        self._shelf = Shelf(store, settings.max_answer_bytes, wall)
        self.flights = Flights()
        self.counts: dict[tuple[str, str, str], int] = {}

    def collect(self) -> Iterator[Family]:
        """Prometheus: what there is to tell of the cache."""
        requests = counter(metrics.CACHE_REQUESTS)
        for row, count in self.counts.items():
            requests.add_metric(list(row), count)
        yield requests
        waiting = (metrics.CACHE_WAITING, self.flights.waiting)
        for metric, value in (waiting, *self.store.levels()):
            family = counter(metric) if metric.name.endswith("_total") else gauge(metric)
            family.add_metric([], value)
            yield family

    async def start(self) -> None:
        """Background: nothing to prepare; a store that is away is a miss."""

    def loops(self) -> Sequence[Coroutine[object, object, None]]:
        """Background: what keeps answers."""
        return (self._shelf.work(),)

    async def stop(self) -> None:
        """Background: let go of the store."""
        await self.store.close()

    def answer(
        self, client: Client, charge: Charge, asked: tuple[bytes, Asked, bytes], proceed: Proceed
    ) -> Answer:
        """Answer from the cache, or let the engines answer and keep what they say.

        `asked` is the path, the request and its body.

        Raises:
            RequestError: the cache's header is wrong.
        """
        settings = self._settings
        wish = wish_of(client.headers, settings.ttl_s, settings.max_ttl_s)
        model = charge.route.model
        if wish.off or not (wish.asked or self.always or model in self.models):
            return proceed(client)
        key = self._key(charge, asked, wish)
        if key is None:
            if wish.asked:
                self._tell(client, charge, "bypass")
            return proceed(client)
        place = Place(key, wish.ttl_s)
        if wish.refresh:
            return self.keep(client, charge, place, proceed, how="refresh")
        return Lookup(self, client, charge, (asked[1], place), proceed)

    def _key(self, charge: Charge, asked: tuple[bytes, Asked, bytes], wish: Wish) -> bytes | None:
        path, request, body = asked
        grants: tuple[str, ...] = ()
        if isinstance(request, ChatRequest):
            grants = charge.caller.tools if request.leaves_tools_to_us else ()
            if (grants or request.tools) and not self._settings.tools:
                return None
        options = request.stream_options
        if MARK_BYTES in body or (options is not None and options.continuous_usage_stats):
            return None
        fields = read_fields(body)
        if fields is None or not (wish.asked or is_repeatable(fields)):
            return None
        route = charge.route
        version = self._versions.get(route.model, "")
        scope = Scope(charge.caller.name, route.identity, version, path, grants)
        return key_of(self._secret, scope, fields)

    def keep(
        self,
        client: Client,
        charge: Charge,
        place: Place,
        proceed: Proceed,
        *,
        how: str = "miss",
        lead: Lead | None = None,
    ) -> Answer:
        """Let the engines answer, and keep their answer; with a `lead` for others, too."""
        self._tell(client, charge, how)
        keeper = self._shelf.listen(client, place, charge, lead)
        charge.watchers = (*charge.watchers, keeper)
        return proceed(keeper)

    def replay(
        self, client: Client, charge: Charge, request: Asked, stored: Stored, how: str = "hit"
    ) -> None:
        """Answer with what is kept, or what another one was just answered (`how`: joined)."""
        since_s = time.perf_counter()
        self._count(charge, how)
        age_s = int(min(max(0.0, self._wall() - stored.stored_s), stored.lasts_s))
        client.headers_out += b"x-penstock-cache: hit; age=%d\r\n" % age_s
        if request.streams:
            body = stream_of(stored.body, with_usage=request.wants_usage)
            if client.takes_chunks:
                body = framed(body) + LAST_CHUNK
            body = client.head(200, EVENT_STREAM, None) + body
        else:
            body = client.head(200, JSON, len(stored.body)) + stored.body
        saved = Usage(stored.prompt_tokens, stored.completion_tokens)
        charge.settle("from_cache", saved, 0, time.perf_counter() - since_s)
        client.write(body)
        client.finish()

    def refuse(self, charge: Charge, client: Client, error: PenstockError) -> None:
        """End a request that no engine could be asked."""
        fault = fault_of(error)
        charge.note(reason_of(error))
        charge.settle("refused", None, 0, 0.0)
        self._meters.refuse(fault.status)
        client.fail(fault)

    def _tell(self, client: Client, charge: Charge, how: str) -> None:
        self._count(charge, how)
        client.headers_out += b"x-penstock-cache: %b\r\n" % how.encode()

    def _count(self, charge: Charge, how: str) -> None:
        row = charge.caller.name, charge.route.model, how
        self.counts[row] = self.counts.get(row, 0) + 1


class Lookup(Standing):
    """Stands for an answer until it is known whether one is kept, or on its way to another."""

    def __init__(
        self,
        cache: Caching,
        client: Client,
        charge: Charge,
        wanted: tuple[Asked, Place],
        proceed: Proceed,
    ) -> None:
        super().__init__()
        self._cache, self._client, self._charge, self._proceed = cache, client, charge, proceed
        self._wanted = wanted
        self._lead: Lead | None = None
        self._task = asyncio.create_task(self._look())

    async def _look(self) -> None:
        request, place = self._wanted
        client, charge = self._client, self._charge
        try:
            found = await self._cache.flights.join(place.key, client.renew)
            if isinstance(found, Stored):
                self._cache.replay(client, charge, request, found, "joined")
                return
            client.renew()
            if found is not None:
                self._lead = found
                stored = await self._cache.store.get(place.key)
                if stored is not None:
                    found.land(stored)
                    self._cache.replay(client, charge, request, stored)
                    return
            answer = self._cache.keep(client, charge, place, self._proceed, lead=found)
            self._hand_over(answer)
        except PenstockError as error:
            self._let_go()
            self._cache.refuse(charge, client, error)
        except Exception as error:
            self._let_go()
            log.exception("request %s failed", client.request_id.decode())
            charge.settle("failed", NOTHING, 0, 0.0)
            client.fail(fault_of(error))

    def _let_go(self) -> None:
        if self._lead is not None:
            self._lead.land(None)

    def cancel(self) -> None:
        """Answer: the client has left; who waits for it goes on."""
        super().cancel()
        if self._lead is not None and not self._lead.taken:
            self._lead.leave()

    def expire(self) -> None:
        """Answer: time is up."""
        super().expire()
        self._let_go()

    def pause(self) -> None:
        """Answer: the client reads slowly."""
        super().pause()
        if self._lead is not None:
            self._lead.stall()

    def _cancel(self) -> None:
        if self._task.cancel():
            self._charge.settle("client_gone", NOTHING, 0, 0.0)

    def _expire(self) -> None:
        if self._task.cancel():
            self._charge.settle("timeout", NOTHING, 0, 0.0)
            self._client.fail(fault_of(TimeoutError()))
