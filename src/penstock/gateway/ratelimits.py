"""`x-ratelimit-*`: what is left of a caller's limits, in OpenAI's form, on every answer."""

from penstock.gateway.caller import Caller
from penstock.registry.gate import Gate


def limit_headers(caller: Caller) -> bytes:
    """Return header lines, each with its end; those of the gate that has least left."""
    found = b""
    gates = caller.gates
    if not gates:
        return found
    gate = gates[0] if len(gates) == 1 else _tightest(gates)
    bucket, tokens = gate.bucket, gate.tokens
    if bucket is not None:
        left = bucket.left
        found = (
            b"x-ratelimit-limit-requests: %d\r\nx-ratelimit-remaining-requests: %d\r\n"
            b"x-ratelimit-reset-requests: %b\r\n"
        ) % (bucket.burst, left, _span((bucket.burst - left) / bucket.rate))
    if tokens is not None:
        found += (
            b"x-ratelimit-limit-tokens: %d\r\nx-ratelimit-remaining-tokens: %d\r\n"
            b"x-ratelimit-reset-tokens: %b\r\n"
        ) % (tokens.per_minute, tokens.left, _span(tokens.full_in_s))
    return found


def _tightest(gates: tuple[Gate, ...]) -> Gate:
    with_buckets = [gate for gate in gates if gate.bucket is not None]
    return min(with_buckets or gates, key=lambda gate: gate.bucket.left if gate.bucket else 0)


def _span(seconds: float) -> bytes:
    """Return a duration as OpenAI writes it: `20ms`, `1s`, `6m0s`."""
    if seconds < 1:
        return b"%dms" % (seconds * 1000)
    if seconds < 60:
        return b"%ds" % seconds
    return b"%dm%ds" % (seconds // 60, seconds % 60)
