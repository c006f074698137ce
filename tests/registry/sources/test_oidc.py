"""Tokens of an OpenID provider: what is taken, what is refused, and why."""

import asyncio
import base64
import hashlib
import hmac
import json
import time
from collections.abc import Iterator
from contextlib import suppress
from typing import Any

import httpx
import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from hypothesis import given
from hypothesis import strategies as st
from tests.fakes.identity_provider import AUDIENCE, IdentityProvider, identity_provider

from penstock.ground.clock import FakeClock
from penstock.ground.errors import NotAllowed
from penstock.registry.records import Budgets, Limits, Policy
from penstock.registry.sources.health import SourceHealth
from penstock.registry.sources.jwks import SigningKeys
from penstock.registry.sources.oidc import Rules, Tokens


@pytest.fixture(scope="module")
def running() -> Iterator[IdentityProvider]:
    with identity_provider() as provider:
        yield provider


@pytest.fixture
def provider(running: IdentityProvider) -> IdentityProvider:
    running.broken, running.other_issuer = False, None
    running.kids = {"rsa": running.rsa, "ec": running.ec}
    return running


def make_keys(provider: IdentityProvider, **more: Any) -> SigningKeys:
    clock = FakeClock(100.0)
    fields: dict[str, Any] = {
        "client": lambda: httpx.AsyncClient(timeout=5),
        "health": SourceHealth("oidc", clock),
        "clock": clock,
        **more,
    }
    return SigningKeys(provider.issuer, None, **fields)


@pytest.fixture
async def keys(provider: IdentityProvider) -> SigningKeys:
    made = make_keys(provider)
    await made.start()
    assert made.health.up
    return made


def rules(provider: IdentityProvider, **more: Any) -> Rules:
    return Rules(provider.issuer, (AUDIENCE,), **more)


@pytest.fixture
def tokens(provider: IdentityProvider, keys: SigningKeys) -> Tokens:
    return Tokens(rules(provider), keys, lambda digests: None, time.time)


@pytest.mark.parametrize(("kid", "algorithm"), [("rsa", "RS256"), ("ec", "ES256")])
def test_a_good_token_is_a_key_that_ends_with_it(
    provider: IdentityProvider, tokens: Tokens, kid: str, algorithm: str
) -> None:
    ends_s = int(time.time()) + 60
    record = tokens.open(provider.token(kid=kid, algorithm=algorithm, exp=ends_s).encode())
    assert record is not None
    assert (record.tenant, record.id) == ("alice", "oidc:alice/alice@example.com")
    assert record.expires_s == ends_s + 30
    assert record.hint == ""


def test_the_shared_clock_says_whether_a_token_has_ended(
    provider: IdentityProvider, keys: SigningKeys
) -> None:
    """The machine's own clock is an hour off, so that it would say otherwise."""
    shared = FakeClock(time.time() - 3600)
    tokens = Tokens(rules(provider), keys, lambda digests: None, shared)
    now_s = int(shared())
    for ends_s, from_s, fits in ((60, 0, True), (-25, 0, True), (-35, 0, False), (60, 35, False)):
        token = provider.token(exp=now_s + ends_s, nbf=now_s + from_s, iat=now_s + from_s)
        if fits:
            assert tokens.open(token.encode()) is not None
        else:
            with pytest.raises(NotAllowed, match=r"has expired|not valid yet"):
                tokens.open(token.encode())


def test_a_key_of_the_registry_is_no_token(tokens: Tokens) -> None:
    for secret in (b"ps-secret", b"", b"a.b.c", b"eyJ", b"\xff\xfe.a.b"):
        assert tokens.open(secret) is None


REFUSED: tuple[tuple[str, dict[str, Any]], ...] = (
    ("expired", {"exp": 1000}),
    ("not valid yet", {"nbf": 1e11}),
    ("meant for somebody else", {"aud": "another"}),
    ("claim is missing", {"aud": None}),
    ("another issuer's", {"iss": "http://127.0.0.1:1"}),
    ("claim is missing", {"exp": None}),
    ("claim is missing", {"sub": None}),
    ("no known tenant", {"tenant": None}),
    ("no known tenant", {"tenant": ["alice"]}),
    ("no known tenant", {"tenant": ""}),
    ("no known key", {"kid": "unknown"}),
    ("no known key", {"kid": "ec"}),
    ("no known key", {"kid": None}),
    ("cannot be read", {"sub": 7}),
)


@pytest.mark.parametrize(("why", "token"), REFUSED, ids=lambda value: str(value)[:40])
def test_a_wrong_token_is_refused_with_its_reason(
    provider: IdentityProvider, tokens: Tokens, why: str, token: dict[str, Any]
) -> None:
    key = provider.rsa if token.get("kid") == "ec" else None
    with pytest.raises(NotAllowed, match=why) as refused:
        tokens.open(provider.token(key=key, **token).encode())
    assert "eyJ" not in str(refused.value)


def _unsigned(head: dict[str, object], claims: dict[str, object]) -> bytes:
    parts = (json.dumps(part).encode() for part in (head, claims))
    return b".".join([*(base64.urlsafe_b64encode(p).rstrip(b"=") for p in parts), b""])


def test_a_token_nobody_signed_is_refused(provider: IdentityProvider, tokens: Tokens) -> None:
    for name in ("none", "None", "NONE", "nOnE", ""):
        with pytest.raises(NotAllowed, match="algorithm"):
            tokens.open(_unsigned({"alg": name, "kid": "rsa"}, provider.claims()))


@pytest.mark.filterwarnings("ignore::jwt.warnings.InsecureKeyLengthWarning")
def test_the_public_key_is_no_shared_secret(provider: IdentityProvider, tokens: Tokens) -> None:
    """HS256 with the text of the public key: what a careless verifier takes."""
    head = _unsigned({"alg": "HS256", "kid": "rsa"}, provider.claims())[:-1]
    for key in (provider.public_pem(), provider.public_pem().strip(), b""):
        mac = base64.urlsafe_b64encode(hmac.new(key, head, hashlib.sha256).digest())
        with pytest.raises(NotAllowed, match="algorithm"):
            tokens.open(head + b"." + mac.rstrip(b"="))


def test_what_the_head_brings_along_is_not_believed(
    provider: IdentityProvider, tokens: Tokens
) -> None:
    mine = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    row = jwt.algorithms.RSAAlgorithm.to_jwk(mine.public_key(), as_dict=True)
    for head in ({"jwk": row}, {"jku": "http://127.0.0.1:1/x"}, {"x5u": "http://127.0.0.1:1/x"}):
        token = jwt.encode(provider.claims(), mine, "RS256", headers={"kid": "rsa", **head})
        with pytest.raises(NotAllowed, match="signature is wrong"):
            tokens.open(token.encode())


@given(place=st.integers(0, 10_000), bit=st.integers(0, 5))
def test_a_changed_token_is_refused(place: int, bit: int) -> None:
    token = bytearray(_SOME[1].encode())
    place %= len(token)
    token[place] ^= 1 << bit
    if token == _SOME[1].encode() or place == len(token) - 1:
        return  # the last character has bits that mean nothing
    with suppress(NotAllowed):
        assert _SOME[0].open(bytes(token)) is None


_SOME: list[Any] = []


@pytest.fixture(autouse=True)
def _some(provider: IdentityProvider, tokens: Tokens) -> Iterator[None]:
    _SOME[:] = [tokens, provider.token()]
    yield
    _SOME.clear()


def test_claims_narrow_what_a_token_opens(provider: IdentityProvider, keys: SigningKeys) -> None:
    subject = Policy(limits=Limits(requests_per_second=5), budgets=Budgets(usd_per_day=1))
    told = rules(provider, models_claim="models", tools_claim="scope", subject=subject)
    tokens = Tokens(told, keys, lambda digests: None, time.time)
    record = tokens.open(provider.token(models=["a", "b", 7], scope="x y").encode())
    assert record is not None
    assert record.policy == Policy(("a", "b"), ("x", "y"), subject.limits, subject.budgets)
    empty = tokens.open(provider.token().encode())
    assert empty is not None
    assert (empty.policy.models, empty.policy.tools) == ((), ())


def test_tenants_are_named_by_the_manifest_where_it_does(
    provider: IdentityProvider, keys: SigningKeys
) -> None:
    told = rules(provider, tenant_claim="tid", tenants={"8f3e": "alice"})
    tokens = Tokens(told, keys, lambda digests: None, time.time)
    record = tokens.open(provider.token(tid="8f3e").encode())
    assert record is not None
    assert record.tenant == "alice"
    with pytest.raises(NotAllowed, match="no known tenant"):
        tokens.open(provider.token(tid="alice").encode())


def test_strange_subjects_get_names_that_stay_apart(
    provider: IdentityProvider, tokens: Tokens
) -> None:
    subjects = ["a", "a\0b", "a\r\nx: y", "'; DROP TABLE x; --", "ü", "x" * 300, "x" * 301]
    ids = set()
    for subject in subjects:
        record = tokens.open(provider.token(sub=subject).encode())
        assert record is not None
        assert record.id.isascii()
        assert record.id.isprintable()
        assert len(record.id) < 70
        ids.add(record.id)
    assert len(ids) == len(subjects)


async def test_new_keys_are_found_and_old_ones_forgotten(provider: IdentityProvider) -> None:
    keys = make_keys(provider)
    await keys.start()
    forgotten: list[bytes] = []
    tokens = Tokens(rules(provider), keys, forgotten.extend, time.time)
    old = provider.token().encode()
    assert tokens.open(old)
    provider.kids = {"new": rsa.generate_private_key(public_exponent=65537, key_size=2048)}
    new = provider.token(kid="new").encode()
    with pytest.raises(NotAllowed, match="no known key"):
        tokens.open(new)
    assert keys._wanted.is_set()
    await keys.refresh()
    assert tokens.open(new)
    assert len(forgotten) == 1
    with pytest.raises(NotAllowed, match="no known key"):
        tokens.open(old)


async def test_a_provider_that_fails_leaves_the_known_keys(provider: IdentityProvider) -> None:
    keys = make_keys(provider)
    await keys.start()
    tokens = Tokens(rules(provider), keys, lambda digests: None, time.time)
    provider.broken = True
    await keys.refresh()
    assert not keys.health.up
    assert tokens.open(provider.token().encode())
    provider.broken, provider.other_issuer = False, "http://127.0.0.1:1"
    await keys.refresh()
    assert not keys.health.up
    provider.other_issuer = None
    await keys.refresh()
    assert keys.health.up


async def test_unknown_keys_do_not_make_it_ask_at_any_rate(provider: IdentityProvider) -> None:
    keys = make_keys(provider, clock=time.monotonic)
    await keys.start()
    asked = provider.asked
    tokens = Tokens(rules(provider), keys, lambda digests: None, time.time)
    (loop,) = keys.loops()
    task = asyncio.ensure_future(loop)
    for number in range(50):
        with pytest.raises(NotAllowed):
            tokens.open(provider.token(kid=f"k{number}").encode())
        await asyncio.sleep(0.002)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    assert provider.asked == asked


def test_no_more_tokens_are_remembered_than_there_is_room(
    provider: IdentityProvider, keys: SigningKeys, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("penstock.registry.sources.oidc.MAX_TOKENS", 3)
    forgotten: list[bytes] = []
    tokens = Tokens(rules(provider), keys, forgotten.extend, time.time)
    for number in range(5):
        assert tokens.open(provider.token(sub=f"s{number}").encode())
    assert len(forgotten) == 2
