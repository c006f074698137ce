"""A real gateway that takes keys from AWS Secrets Manager and tokens of an OpenID provider."""

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import boto3
import msgspec
import pytest
from moto.server import ThreadedMotoServer
from tests.fakes.gateway_answers import completion, plain
from tests.fakes.gateway_engine import ScriptedEngine, wait_until
from tests.fakes.identity_provider import AUDIENCE, IdentityProvider, identity_provider
from tests.gateway.gateway_process import BOB, GatewayProcess
from tests.gateway.registry_gateway import admin, entries_when, registry_settings

from penstock.gateway.identity_settings import AwsKeySettings, KeySourceSettings, OidcSettings
from penstock.registry.records import Budgets, Limits

PREFIX = "penstock/tenants/"
FIRST, SECOND = "a-first-key-of-bob", "a-second-key-of-bob"


def token_of(provider: IdentityProvider, **claims: object) -> str:
    """A token of alice's, who works for bob."""
    return provider.token(**{"tenant": "bob", "models": ["scripted"], **claims})  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def provider() -> Iterator[IdentityProvider]:
    with identity_provider() as running:
        yield running


@pytest.fixture(scope="module")
def aws() -> Iterator[tuple[str, Any]]:
    server = ThreadedMotoServer(port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    url = f"http://{host}:{port}"
    with pytest.MonkeyPatch.context() as patch:
        for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
            patch.setenv(name, "testing")
        client = boto3.client("secretsmanager", region_name="eu-west-1", endpoint_url=url)
        client.create_secret(Name=f"{PREFIX}bob", SecretString=FIRST)
        yield url, client
        client.close()
    server.stop()


@pytest.fixture
def gateway(
    tmp_path: Path, engine: ScriptedEngine, provider: IdentityProvider, aws: tuple[str, Any]
) -> Iterator[GatewayProcess]:
    engine.play(plain(completion()))
    sources = KeySourceSettings(
        AwsKeySettings(PREFIX, "eu-west-1", aws[0], refresh_s=0.1, overlap_s=0),
        OidcSettings(
            provider.issuer,
            (AUDIENCE,),
            models_claim="models",
            limits=Limits(requests_per_day=3),
            budgets=Budgets(tokens_per_day=100_000),
        ),
    )
    settings = registry_settings({"engine": engine.url}, tmp_path, str(tmp_path / "r.db"))
    with GatewayProcess(msgspec.structs.replace(settings, key_sources=sources)) as process:
        yield process


def test_keys_of_aws_open_and_a_rotation_is_seen(
    gateway: GatewayProcess, aws: tuple[str, Any]
) -> None:
    assert gateway.chat(key=FIRST).status_code == 200
    assert gateway.chat(key=BOB).status_code == 200
    aws[1].put_secret_value(SecretId=f"{PREFIX}bob", SecretString=SECOND)
    wait_until(lambda: gateway.chat(key=SECOND).status_code == 200)
    assert gateway.chat(key=FIRST).status_code == 401
    assert gateway.metric("penstock_key_source_up", source="aws") == 1
    assert gateway.metric("penstock_key_source_age_seconds", source="aws") < 60
    found = entries_when(gateway, lambda found: len(found) >= 3)
    assert {entry["tenant"] for entry in found.values()} == {"bob"}
    assert sum(entry["key_id"].startswith("aws-") for entry in found.values()) >= 2


def test_tokens_open_what_they_say_and_no_more(
    gateway: GatewayProcess, provider: IdentityProvider
) -> None:
    token = token_of(provider)
    assert gateway.chat(key=token).status_code == 200
    assert gateway.chat(key=token, model="in-text").status_code == 404
    assert [row["id"] for row in gateway.get("/v1/models", token).json()["data"]] == ["scripted"]
    assert admin(gateway, "GET", "/tenants", key=token).status_code == 401
    other = gateway.get("/v1/models", token_of(provider, tenant="nobody"))
    assert other.status_code == 401
    assert other.json()["error"]["code"] == "invalid_api_key"
    assert "tenant is not known" in other.json()["error"]["message"]
    assert token not in gateway.log


def test_limits_and_usage_are_of_the_subject_too(
    gateway: GatewayProcess, provider: IdentityProvider
) -> None:
    """A second token of the same subject has what the first one left."""
    one, two = (token_of(provider, jti=str(number)) for number in (1, 2))
    answers = [gateway.chat(key=key).status_code for key in (one, two, one, two)]
    assert answers == [200, 200, 200, 429]
    assert gateway.chat(key=token_of(provider, sub="carl")).status_code == 200
    found = entries_when(gateway, lambda found: len(found) == 5)
    ids = {entry["key_id"] for entry in found.values()}
    assert ids == {"oidc:bob/alice@example.com", "oidc:bob/carl"}
    (budget,) = gateway.get("/v1/usage", one).json()["budgets"]
    assert budget["scope"] == "key:oidc:bob/alice@example.com"
    assert budget["spent"] == 30


def test_a_token_that_was_good_ends(gateway: GatewayProcess, provider: IdentityProvider) -> None:
    token = token_of(provider, exp=time.time() - 24)  # 30 seconds are forgiven
    assert gateway.chat(key=token).status_code == 200
    wait_until(lambda: gateway.get("/v1/models", token).status_code == 401)
    assert "it has expired" in gateway.get("/v1/models", token).json()["error"]["message"]


def test_a_disabled_tenant_ends_its_tokens(
    gateway: GatewayProcess, provider: IdentityProvider
) -> None:
    token = token_of(provider)
    assert gateway.get("/v1/models", token).status_code == 200
    assert admin(gateway, "PATCH", "/tenants/bob", {"disabled": True}).status_code == 200
    assert gateway.get("/v1/models", token).status_code == 401


def test_known_tokens_need_no_provider(
    gateway: GatewayProcess, provider: IdentityProvider
) -> None:
    token = token_of(provider)
    assert gateway.chat(key=token).status_code == 200
    provider.broken = True
    assert gateway.chat(key=token).status_code == 200
    assert gateway.chat(key=token_of(provider, sub="dora")).status_code == 200
    provider.broken = False
