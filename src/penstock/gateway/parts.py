"""Whether a message that comes in parts holds text alone."""

import re

import msgspec
from msgspec import UNSET, Raw, UnsetType

_UNBOUNDED = re.compile(
    rb'"(?:image|video|audio)_url"|"input_audio"|"file"'
    rb"|\\u00[2-7]"  # the last: these words written in escapes
)


class _Message(msgspec.Struct):
    content: Raw | UnsetType = UNSET


class _Part(msgspec.Struct):
    type: str = ""


_messages = msgspec.json.Decoder(list[_Message])
_parts = msgspec.json.Decoder(list[_Part])
_TEXTS = frozenset(("text", "input_text", "output_text", "refusal", "thinking"))


def are_texts(messages: bytes) -> bool:
    """Whether all that messages hold is text, be it in parts."""
    try:
        found = _messages.decode(messages)
        contents = [bytes(each.content) for each in found if isinstance(each.content, Raw)]
        lists = [content for content in contents if not content.startswith((b'"', b"null"))]
        parts = [part for content in lists for part in _parts.decode(content)]
    except msgspec.DecodeError:
        return False
    return all(part.type in _TEXTS for part in parts) and not any(
        _UNBOUNDED.search(content) for content in lists
    )
