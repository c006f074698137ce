"""An account with an endpoint that the stand-in serves, and gateways before it."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import msgspec
from tests.gateway.gateway_process import ALICE, GatewayProcess, settings_for
from tests.rehearsal.account import Account, failures
from tests.rehearsal.sleeping_stack import ADAPTER, BASE, ENDPOINT, components

from penstock.gateway.routing.settings import RoutingSettings
from penstock.gateway.settings import EngineSettings, ModelSettings, Settings, WakeSettings
from penstock.rehearsal.adapters import archive
from penstock.rehearsal.play.process import Process
from penstock.wiring.sagemaker import endpoint_engine

BUCKET, STACK = "adapters-of-a-test", "penstock-rehearsed"
SOON = WakeSettings(timeout_s=120.0, look_every_s=0.3)
"""On a busy machine the stack falls asleep between two tests: it must be awake again soon."""


@contextmanager
def account(folder: Path, scale: float) -> Iterator[Account]:
    """A stand-in for AWS with nothing in it, and this process's environment led to it."""
    with Process(folder, scale) as process:
        aws = Account(process.said)
        kept = dict(os.environ)
        os.environ.update(
            AWS_ENDPOINT_URL=aws.url,
            AWS_REGION=aws.region,
            AWS_ACCESS_KEY_ID=str(process.said["access_key"]),
            AWS_SECRET_ACCESS_KEY=str(process.said["secret_key"]),
        )
        try:
            yield aws
        finally:
            aws.close()
            os.environ.clear()
            os.environ.update(kept)


def deploy(aws: Account) -> None:
    """A base component with an adapter that scale to zero."""
    s3 = aws.client("s3")
    s3.create_bucket(Bucket=BUCKET)
    s3.put_object(Bucket=BUCKET, Key="adapter.tar.gz", Body=archive(1))
    stack = aws.deploy(STACK, components(f"s3://{BUCKET}/adapter.tar.gz"))
    assert failures(aws, stack) == []


def settings(region: str, **engine: object) -> Settings:
    """A gateway with the models `base` and `poet` (its adapter)."""
    plain = settings_for({}, "base")
    engines = tuple(
        msgspec.structs.replace(endpoint_engine(name, ENDPOINT, component, region, SOON), **engine)
        for name, component in (("base", BASE), ("poet", ADAPTER))
    )
    return msgspec.structs.replace(
        plain,
        engines=engines,
        models=(model(engines[0], None), model(engines[1], "base")),
    )


def model(engine: EngineSettings, parent: str | None) -> ModelSettings:
    """The model of the engine's own name."""
    return ModelSettings(
        engine.name, (engine.name,), parent, 2048, upstream="", routing=RoutingSettings()
    )


def says(gateway: GatewayProcess, name: str = "base", words: str = "Hello") -> str:
    """What a model answers."""
    answer = gateway.chat(words, ALICE, model=name, max_tokens=12, temperature=0)
    assert answer.status_code == 200, answer.text
    return str(answer.json()["choices"][0]["message"]["content"])
