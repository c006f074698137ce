"""Envelopes: every segment has a data key of its own, which only a key kept elsewhere opens.

AES-256-GCM. A line's nonce is its number in the chain, and a data key serves one segment of one
writer, so that no nonce ever comes twice under a key. What is authenticated with a line (chain,
segment, number, hash of the line before) ties it to its place.
"""

import base64
import hashlib
import hmac
import os
from typing import NamedTuple, Protocol

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from penstock.ground.errors import UserError

KEY_BYTES = 32
_NONCE_BYTES = 12


class Envelope(NamedTuple):
    """A data key, and how it stands in a segment's header: wrapped."""

    key: bytes
    header: dict[str, str]


class KeyWrapper(Protocol):
    """Makes and opens envelopes."""

    def make(self) -> Envelope:
        """Make a data key."""

    def open(self, header: dict[str, str]) -> bytes:
        """Return the data key of a header.

        Raises:
            UserError: it was wrapped with another key.
        """


class LocalKey:
    """Wraps data keys with a key at hand. Satisfies `KeyWrapper`."""

    def __init__(self, key: bytes) -> None:
        self._cipher = AESGCM(key)
        self.id = hashlib.sha256(b"penstock audit key id" + key).hexdigest()[:16]

    def make(self) -> Envelope:
        """KeyWrapper: make a data key."""
        key, nonce = os.urandom(KEY_BYTES), os.urandom(_NONCE_BYTES)
        wrapped = nonce + self._cipher.encrypt(nonce, key, self.id.encode())
        return Envelope(key, {"by": "local", "id": self.id, "wrapped": _text(wrapped)})

    def open(self, header: dict[str, str]) -> bytes:
        """KeyWrapper: open one."""
        try:
            if header.get("by") != "local" or header.get("id") != self.id:
                raise InvalidTag
            wrapped = base64.b64decode(header.get("wrapped", ""))
            nonce, sealed = wrapped[:_NONCE_BYTES], wrapped[_NONCE_BYTES:]
            return self._cipher.decrypt(nonce, sealed, self.id.encode())
        except (InvalidTag, ValueError, TypeError):
            raise UserError(
                "the segment's key cannot be opened",
                why=f"its header names {header.get('by')} {header.get('id')}, this is {self.id}",
                fix="Give the key of that time, if the header was not altered.",
            ) from None


class Seal:
    """Seals and opens the lines of one segment."""

    def __init__(self, key: bytes, chain: str, segment: int) -> None:
        self._cipher, self._key = AESGCM(key), key
        self._place = f"{chain}/{segment}/"

    def seal(self, number: int, before: str, entry: bytes) -> bytes:
        """Return an entry sealed as line `number`, behind the line with the hash `before`."""
        nonce = number.to_bytes(_NONCE_BYTES, "big")
        return self._cipher.encrypt(nonce, entry, self._at(number, before))

    def open(self, number: int, before: str, box: bytes) -> bytes | None:
        """Return what was sealed; none if it was altered, or is not at its place."""
        nonce = number.to_bytes(_NONCE_BYTES, "big")
        try:
            return self._cipher.decrypt(nonce, box, self._at(number, before))
        except (InvalidTag, ValueError):
            return None

    def mac(self, data: bytes) -> str:
        """Return what proves that `data` comes from who has the segment's key."""
        key = hashlib.sha256(b"penstock audit head" + self._key).digest()
        return hmac.new(key, data, hashlib.sha256).hexdigest()

    def _at(self, number: int, before: str) -> bytes:
        return f"{self._place}{number}/{before}".encode()


def key_from(text: str) -> bytes:
    """Read a key of 32 bytes: 64 hexadecimal digits, or base64.

    Raises:
        UserError: it is neither.
    """
    text = text.strip()
    try:
        key = bytes.fromhex(text) if len(text) == 2 * KEY_BYTES else base64.b64decode(text)
    except ValueError:
        key = b""
    if len(key) != KEY_BYTES:
        raise UserError(
            "the key of the audit cannot be used",
            why="it is not 32 bytes, in hexadecimal or base64",
            fix="Make one: openssl rand -hex 32",
        )
    return key


def _text(data: bytes) -> str:
    return base64.b64encode(data).decode()
