"""What is asked of a deployment once its stacks stand: is it settled, does it answer."""

import json
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from penstock.ground.clock import Clock, monotonic
from penstock.ground.errors import CloudError, EngineRefused
from penstock.plan.carrying_out import Tell
from penstock.targets.aws.bucket import Bucket
from penstock.targets.aws.patience import Patience
from penstock.targets.sagemaker.asynchronous import ASYNC_PREFIX
from penstock.targets.sagemaker.diagnosis import Diagnosis
from penstock.targets.sagemaker.dialects import dialect_of, question, text_of
from penstock.targets.sagemaker.hosted import Endpoint, Hosting
from penstock.targets.sagemaker.runtime import Address, Asleep, Runtime

WORDS = [{"role": "user", "content": "Say hello."}]
SHORT = {"max_tokens": 8, "temperature": 0}
WARM_TRIES = 5
"""How often the first question may fail: some containers answer 5xx until they are warm."""


@dataclass(frozen=True, slots=True)
class Subject:
    """Whom is asked, and how: `adapters` are components on top of `component`."""

    endpoint: str
    component: str
    adapters: tuple[str, ...]
    engine: str
    mode: str
    may_sleep: bool

    @property
    def address(self) -> Address:
        """The model's own address."""
        return Address(self.endpoint, self.component)


class Questions:
    """Asked of one deployment."""

    def __init__(
        self,
        subject: Subject,
        hosting: Hosting,
        runtime: Runtime,
        bucket: Callable[[], Bucket | None],
        diagnosis: Diagnosis,
        clock: Clock = monotonic,
    ) -> None:
        self._subject, self._hosting, self._runtime = subject, hosting, runtime
        self._bucket, self._diagnosis, self._clock = bucket, diagnosis, clock
        self._dialect = dialect_of(subject.engine)

    def settled(self, tell: Tell) -> None:
        """Wait until the endpoint and all its components are in service.

        Raises:
            CloudError: one of them has failed.
        """
        patience, last = Patience(f"endpoint {self._subject.endpoint}"), None
        while True:
            seen = self._must_find()
            states = [f"{seen.name} is {seen.status}"] + [
                f"{each.name} is {each.status}" for each in seen.components
            ]
            if states != last:
                tell(", ".join(states))
                patience.news()
                last = states
            if seen.is_settled:
                break
            patience.pause()
        if seen.status != "InService":
            raise self._diagnosis.of_endpoint(seen.name, "", seen.failure)
        for each in seen.components:
            if each.status != "InService":
                raise self._diagnosis.of_endpoint(seen.name, each.name, each.failure)

    def warm(self, tell: Tell) -> None:
        """Ask until there is a first answer: it may take longer than all others."""
        if self._subject.mode == "async" or self._is_asleep():
            tell("nothing to warm: it starts with the first question")
            return
        with self._sleeping(tell):
            self._wait_for_an_answer(tell)

    def smoke(self, tell: Tell) -> None:
        """Ask as clients will, the model and every adapter, plain and streamed.

        Raises:
            CloudError: what came back is no answer.
            EngineRefused: the container answered with an error.
        """
        if self._is_asleep():
            tell("it has scaled to zero and is left asleep; the first request wakes it")
            return
        if self._subject.mode == "async":
            self._ask_by_s3(tell)
            return
        with self._sleeping(tell):
            self._ask(self._subject.address, tell)
            for adapter in self._subject.adapters:
                self._ask(Address(self._subject.endpoint, adapter), tell)
            self._stream(tell)

    @contextmanager
    def _sleeping(self, tell: Tell) -> Iterator[None]:
        """Let it fall asleep meanwhile, where it may."""
        try:
            yield
        except Asleep:
            if not self._subject.may_sleep:
                raise
            tell("it has just scaled to zero; the first request wakes it")

    def _wait_for_an_answer(self, tell: Tell) -> None:
        begin, patience = self._clock(), Patience("the container", still_s=300)
        for left in reversed(range(WARM_TRIES)):
            try:
                self._runtime.ask(self._subject.address, self._question())
            except EngineRefused as error:
                if error.status < 500 or not left:
                    raise
                patience.pause()
            else:
                tell(f"first answer after {self._clock() - begin:.1f} s")
                return

    def _ask(self, address: Address, tell: Tell) -> None:
        begin = self._clock()
        said = self._text(self._runtime.ask(address, self._question()))
        tell(f"{address} answers in {(self._clock() - begin) * 1e3:.0f} ms: {said.strip()!r}")

    def _stream(self, tell: Tell) -> None:
        if self._dialect != "chat" or self._subject.mode == "serverless":
            return
        asked = self._question() | {"stream": True}
        pieces = list(self._runtime.stream(self._subject.address, asked))
        if not pieces:
            raise CloudError(f"{self._subject.address} streams nothing")
        tell(f"{self._subject.address} streams: {len(pieces)} pieces")

    def _ask_by_s3(self, tell: Tell) -> None:
        bucket = self._bucket()
        if bucket is None:
            raise CloudError("the deployment has no bucket for asynchronous questions")
        begin = self._clock()
        key = f"{ASYNC_PREFIX}questions/smoke-{uuid.uuid4().hex[:12]}.json"
        bucket.write(key, json.dumps(self._question()).encode())
        address = self._subject.address
        answered, failed = self._runtime.begin(address, f"s3://{bucket.name}/{key}")
        patience = Patience(f"the answer in {bucket.name}", still_s=1800)
        while (said := bucket.read(_key(answered))) is None:
            if failed and (why := bucket.read(_key(failed))) is not None:
                raise CloudError(f"{address} could not answer", why=why.decode(errors="replace"))
            patience.pause()
        tell(f"{address} answers by S3 in {self._clock() - begin:.1f} s: {self._text(said)!r}")

    def _text(self, answer: bytes) -> str:
        try:
            return text_of(self._dialect, answer)
        except ValueError as error:
            raise CloudError(f"{self._subject.address} does not answer", why=str(error)) from None

    def _question(self) -> dict[str, object]:
        return question(self._dialect, WORDS, SHORT)

    def _is_asleep(self) -> bool:
        seen = self._must_find() if self._subject.may_sleep else None
        if seen is None:
            return False
        if self._subject.component:
            bases = [each for each in seen.components if not each.base]
            return bool(bases) and all(not each.copies for each in bases)
        return all(not each.machines for each in seen.variants)

    def _must_find(self) -> Endpoint:
        seen = self._hosting.find(self._subject.endpoint)
        if seen is None:
            raise CloudError(f"there is no endpoint {self._subject.endpoint}")
        return seen


def _key(uri: str) -> str:
    return uri.removeprefix("s3://").partition("/")[2]
