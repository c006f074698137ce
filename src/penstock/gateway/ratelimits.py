"""`x-ratelimit-*`: what is left of a caller's limits, in OpenAI's form, on every answer."""

from typing import Final

from penstock.gateway.caller import Caller
from penstock.registry.gate import Gate

_SHORT: Final = [f"{number}ms" for number in range(1000)]


def limit_headers(caller: Caller) -> bytes:
    """Return header lines, each with its end; those of the gate that has least left."""
    gates = caller.gates
    if not gates:
        return b""
    gate = gates[0] if len(gates) == 1 else _tightest(gates)
    bucket, tokens = gate.bucket, gate.tokens
    found = ""  # `%` of bytes takes three times as long
    if bucket is not None:
        burst, left = bucket.burst, bucket.left
        found = (
            f"x-ratelimit-limit-requests: {burst}\r\nx-ratelimit-remaining-requests: {left}\r\n"
            f"x-ratelimit-reset-requests: {_span((burst - left) / bucket.rate)}\r\n"
        )
    if tokens is not None:
        most = tokens.per_minute
        left, full_in_s = tokens.state()
        found += (
            f"x-ratelimit-limit-tokens: {most}\r\nx-ratelimit-remaining-tokens: {left}\r\n"
            f"x-ratelimit-reset-tokens: {_span(full_in_s)}\r\n"
        )
    return found.encode()


def _tightest(gates: tuple[Gate, ...]) -> Gate:
    with_buckets = [gate for gate in gates if gate.bucket is not None]
    return min(with_buckets or gates, key=lambda gate: gate.bucket.left if gate.bucket else 0)


def _span(seconds: float) -> str:
    """Return a duration as OpenAI writes it: `20ms`, `1s`, `6m0s`."""
    if seconds < 1:
        return _SHORT[int(seconds * 1000)] if seconds > 0 else "0ms"
    whole = int(seconds)
    return f"{whole}s" if whole < 60 else f"{whole // 60}m{whole % 60}s"
