"""The forms in which models write calls into their text, by name."""

from collections.abc import Callable, Collection
from typing import NamedTuple

from penstock.chat.parsers.hermes import OPEN as HERMES
from penstock.chat.parsers.hermes import read_hermes
from penstock.chat.parsers.llama3 import OPEN as LLAMA3
from penstock.chat.parsers.llama3 import read_llama3
from penstock.chat.parsers.mistral import OPEN as MISTRAL
from penstock.chat.parsers.mistral import read_mistral
from penstock.chat.parsers.pythonic import MARKS as PYTHONIC
from penstock.chat.parsers.pythonic import read_pythonic
from penstock.chat.parsers.scanner import Scanner, Steps
from penstock.chat.parsers.written import WrittenCall


class Form(NamedTuple):
    """How calls begin, what stands between them, and who reads one.

    `marks` begin a call wherever they stand; the character `bare`, if there is one, only at the
    beginning of the answer or of a line, or right behind another call. `read` gets a scanner
    behind the mark, or at the bare character, and what it was; it returns the calls, none if it
    was none. `names` are the tools there are.
    """

    marks: tuple[str, ...]
    read: Callable[[Scanner, str, Collection[str]], Steps[list[WrittenCall]]]
    bare: str = ""
    between: str = " \t\r\n"


FORMS = {
    "hermes": Form((HERMES,), read_hermes),
    "llama3_json": Form((LLAMA3,), read_llama3, bare="{", between=" \t\r\n;"),
    "mistral": Form((MISTRAL,), read_mistral),
    "pythonic": Form(tuple(PYTHONIC), read_pythonic, bare="["),
}
