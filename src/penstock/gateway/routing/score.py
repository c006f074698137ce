"""How hard a request looks: features with names, each adding its share, capped at 1.

Nothing is learned and nothing is hidden: a score is `min(1, sum of share * strength)`, and the
features that added something are told with the answer. It reads what is asked, not what it means:
a short question can be hard, and then the score is wrong. Words are English.
"""

import re
from collections.abc import Mapping
from typing import NamedTuple

import msgspec

SHARES: Mapping[str, float] = {
    "long": 0.40,
    "reasoning": 0.35,
    "code": 0.30,
    "math": 0.25,
    "tools": 0.20,
    "output": 0.20,
    "dialogue": 0.15,
    "structure": 0.10,
}
"""What each feature adds to the score at full strength; see `Asked.strengths` for what it is."""

_MAX_TEXT = 16_384  # characters of the last question that are looked at
_MAX_ITEMS = 512
_LONG = (400, 8_000)  # characters of all messages
_TURNS = (2, 12)
_TOOLS = (0, 6)
_OUTPUT = (500, 4_000)  # tokens

_REASONING = re.compile(
    r"\b(?:prove|proof|derive|deduce|step[ -]by[ -]step|think|reason(?:ing)?|analy[sz]e|analysis|"
    r"compare|contrast|evaluate|critique|trade-?offs?|design|architect(?:ure)?|plan|strategy|"
    r"explain (?:why|how)|why|root cause|diagnose|optimi[sz]e|debug|refactor)\b",
    re.IGNORECASE,
)
_CODE = re.compile(
    r"```|\b(?:def|class|function|import|return|const|SELECT|void|struct|async|lambda)\b|"
    r"[;{}]\s*\n|=>|->|::|==|!=|&&|\|\||\b\w+\([^)\n]{0,80}\)|"
    r"\b(?:python|javascript|typescript|java|rust|sql|regex|bash|stack ?trace|traceback)\b",
    re.IGNORECASE,
)
_MATH = re.compile(
    r"\$[^$\n]{1,200}\$|\\(?:frac|int|sum|sqrt|begin)|[∑∫√≤≥≠π∞∂]|\d\s*[-+*/^=]\s*\d|"
    r"\b(?:integral|derivative|equation|matrix|theorem|probability|polynomial|eigenvalues?|"
    r"modulo|logarithm)\b",
    re.IGNORECASE,
)
_ENOUGH = {"reasoning": 2, "code": 3, "math": 2}
"""So many finds are full strength; fewer are a part of it."""


class _Message(msgspec.Struct):
    role: str = ""
    content: str | list[msgspec.Raw] | None = None


class _Part(msgspec.Struct):
    text: str = ""


class Score(NamedTuple):
    """0 (easy) to 1 (hard), and the features that made it so, strongest first."""

    value: float
    reasons: tuple[str, ...]


class Asked(NamedTuple):
    """What the scorer sees of a request."""

    question: str
    """The last message of the user, or the prompt."""
    characters: int
    messages: int = 1
    tools: int = 0
    max_tokens: int | None = None
    structured: bool = False

    def strengths(self) -> dict[str, float]:
        """Return how strong each feature is, 0 to 1."""
        text = self.question[:_MAX_TEXT]
        return {
            "long": _between(self.characters, _LONG),
            "reasoning": _finds(_REASONING, text, "reasoning"),
            "code": _finds(_CODE, text, "code"),
            "math": _finds(_MATH, text, "math"),
            "tools": _between(self.tools, _TOOLS),
            "output": _between(self.max_tokens or 0, _OUTPUT),
            "dialogue": _between(self.messages, _TURNS),
            "structure": float(self.structured),
        }


def score_of(asked: Asked, shares: Mapping[str, float] = SHARES) -> Score:
    """Return the score; `shares` may leave features out."""
    strengths = asked.strengths()
    added = {name: share * strengths[name] for name, share in shares.items()}
    told = sorted((name for name in added if added[name] >= 0.005), key=lambda n: -added[n])
    return Score(min(1.0, sum(added.values())), tuple(told))


def asked_in_messages(raw: bytes) -> Asked:
    """Read raw `messages`; what is not in OpenAI's form is taken for one long question."""
    try:
        messages = msgspec.json.decode(raw, type=list[_Message])
    except (msgspec.DecodeError, UnicodeDecodeError):
        return asked_in_prompt(raw)
    question = next((_text(each) for each in reversed(messages) if each.role == "user"), "")
    return Asked(question, len(raw), len(messages))


def asked_in_prompt(raw: bytes) -> Asked:
    """Read a raw `prompt`; lists of prompts and of tokens count by their length alone."""
    try:
        return Asked(msgspec.json.decode(raw, type=str), len(raw))
    except (msgspec.DecodeError, UnicodeDecodeError):
        return Asked("", len(raw))


def _text(message: _Message) -> str:
    if not isinstance(message.content, list):
        return message.content or ""
    texts = []
    for part in message.content[:_MAX_ITEMS]:
        try:
            texts.append(msgspec.json.decode(part, type=_Part).text)
        except msgspec.DecodeError:
            continue
    return "\n".join(texts)


def _between(value: float, span: tuple[int, int]) -> float:
    low, high = span
    return min(1.0, max(0.0, (value - low) / (high - low)))


def _finds(pattern: re.Pattern[str], text: str, name: str) -> float:
    enough, found = _ENOUGH[name], 0
    for _ in pattern.finditer(text):
        found += 1
        if found == enough:
            break
    return found / enough
