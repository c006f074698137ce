"""The beginning of a prompt, cheaply: bytes of the request as they came, nothing is parsed."""

from penstock.gateway.routing.ring import hash_of

_ANSWER = b'"assistant"'


def prefix_of(raw: bytes, size: int) -> bytes:
    """Return the part of raw `messages` (or `prompt`) by which requests belong together.

    At most `size` bytes, and of a conversation only what stands before its first answer: that does
    not change while the conversation grows. The quotes of `"assistant"` cannot stand inside a JSON
    string, where they would be escaped, so only a role (or a name) is found.
    """
    prefix = raw[:size]
    answer = prefix.find(_ANSWER)
    if answer < 0:
        return prefix.rstrip(b" \t\r\n]")
    return prefix[: max(prefix.rfind(b"{", 0, answer), 0)].rstrip(b" \t\r\n,")


def key_of(tenant: str, model: str, prefix: bytes) -> int:
    """Return where a prefix belongs on the ring.

    The tenant is part of it: what one tenant sends says nothing of where another's requests go,
    and so nothing of what lies in which engine's cache.
    """
    return hash_of(tenant.encode(), model.encode(), prefix)
