"""Keys are made once, stored as digests, and found by what they hash to."""

from hypothesis import given
from hypothesis import strategies as st

from penstock.registry import keys
from penstock.registry.keys import Key, KeyRing


def key_of(secret: str, tenant: str) -> Key:
    return Key(keys.digest_of(secret.encode()), keys.hint_of(secret), tenant)


def test_a_new_key_is_long_and_different_each_time() -> None:
    made = {keys.new_secret() for _ in range(100)}
    assert len(made) == 100
    for secret in made:
        assert secret.startswith(keys.PREFIX)
        assert len(secret) >= 43  # 256 bits in base64
        assert secret.isascii()
        assert secret == secret.strip()


def test_a_key_opens_its_tenant_and_nothing_else_does() -> None:
    secrets = {tenant: keys.new_secret() for tenant in ("a", "b")}
    ring = KeyRing(key_of(secret, tenant) for tenant, secret in secrets.items())
    assert len(ring) == 2
    for tenant, secret in secrets.items():
        found = ring.find(secret.encode())
        assert found is not None
        assert found.tenant == tenant
        assert ring.find(secret.encode()[:-1]) is None
        assert ring.find(secret.upper().encode()) is None
    assert ring.find(b"") is None
    assert KeyRing([]).find(b"x") is None


@given(st.binary(max_size=100))
def test_any_bytes_may_be_tried(secret: bytes) -> None:
    assert KeyRing([key_of("ps-right", "a")]).find(secret) is None or secret == b"ps-right"


def test_what_is_kept_does_not_show_the_key() -> None:
    secret = keys.new_secret()
    key = key_of(secret, "a")
    assert secret not in repr(key)
    assert key.hint == secret[: len(key.hint)]
    assert len(secret) - len(key.hint) > 30
