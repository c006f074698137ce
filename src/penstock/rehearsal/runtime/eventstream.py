"""`application/vnd.amazon.eventstream`, written: prelude, headers, payload, two checksums.

botocore only reads it. A message is `total length, headers length, crc32 of both, headers,
payload, crc32 of all before`, each number four bytes, big-endian; a header is its name (one byte
of length before), the type 7 for a string, and the string (two bytes of length before).
Source: https://smithy.io/2.0/aws/amazon-eventstream.html
"""

import struct
from collections.abc import Mapping
from zlib import crc32

CONTENT_TYPE = "application/vnd.amazon.eventstream"
_STRING = 7


def message(headers: Mapping[str, str], payload: bytes) -> bytes:
    """Return one message."""
    written = b"".join(_header(name, value) for name, value in headers.items())
    prelude = struct.pack("!II", 16 + len(written) + len(payload), len(written))
    head = prelude + struct.pack("!I", crc32(prelude)) + written + payload
    return head + struct.pack("!I", crc32(head))


def part(payload: bytes) -> bytes:
    """Return a `PayloadPart`: some of the model's answer, as it came."""
    return message(
        {
            ":event-type": "PayloadPart",
            ":content-type": "application/octet-stream",
            ":message-type": "event",
        },
        payload,
    )


def fault(kind: str, payload: bytes) -> bytes:
    """Return an exception in mid-stream, such as `ModelStreamError`."""
    return message(
        {
            ":exception-type": kind,
            ":content-type": "application/json",
            ":message-type": "exception",
        },
        payload,
    )


def _header(name: str, value: str) -> bytes:
    key, text = name.encode(), value.encode()
    return struct.pack("!B", len(key)) + key + struct.pack("!BH", _STRING, len(text)) + text
