"""Examine a running engine on held-out prompts: `python models/evaluate.py --url http://...`.

Talks the OpenAI chat API, greedy, and sends the tools with each request. Prints a table and ends
with status 1 when a threshold is missed (2: the engine could not be asked). With `--compare URL`
the same prompts go to a second engine and the table says how often the two agree.
"""

import argparse
import json
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from recipe.exam import KINDS, Question, set_exam
from recipe.inventor import Inventor
from recipe.lexicon import load_lexicon
from recipe.pieces import letter_pieces

EXAM_SEED = 71
MODEL_FOLDER = Path(__file__).resolve().parents[1] / "src/penstock/engines/embedded/model"
THRESHOLDS = {
    "weather": 0.90,
    "math": 0.90,
    "search": 0.90,
    "answers": 0.90,
    "no call": 0.95,
    "faq": 0.95,
}
MAX_TOKENS = 300
MISSES_SHOWN = 4


@dataclass(frozen=True)
class Reply:
    """What an engine said: its text and its calls as (name, arguments)."""

    text: str
    calls: tuple[tuple[str, str], ...]


@dataclass(frozen=True)
class Engine:
    """An OpenAI-compatible endpoint."""

    url: str
    key: str
    model: str
    timeout_s: float = 120.0

    def ask(self, question: Question) -> Reply:
        """Send the question and return the reply; raises `OSError` when that fails."""
        body: dict[str, Any] = {
            "model": self.model,
            "messages": list(question.messages),
            "temperature": 0,
            "max_tokens": MAX_TOKENS,
        }
        if question.tools:
            body["tools"] = list(question.tools)
        message = self._post("/v1/chat/completions", body)["choices"][0]["message"]
        calls = tuple(
            (call["function"]["name"], call["function"]["arguments"])
            for call in message.get("tool_calls") or ()
        )
        return Reply((message.get("content") or "").strip(), calls)

    def _post(self, path: str, body: dict[str, Any]) -> dict[str, Any]:
        request = urllib.request.Request(
            self.url.rstrip("/").removesuffix("/v1") + path,
            data=json.dumps(body).encode(),
            headers={"Content-Type": "application/json", "Authorization": f"Bearer {self.key}"},
        )
        with urllib.request.urlopen(request, timeout=self.timeout_s) as response:
            content: dict[str, Any] = json.load(response)
            return content


def is_right(question: Question, reply: Reply) -> bool:
    """Whether the reply is exactly what the question wants."""
    if question.calls:
        wanted = [(call.name, dict(call.arguments)) for call in question.calls]
        return wanted == [(name, _read(arguments)) for name, arguments in reply.calls]
    if reply.calls:
        return False
    return question.text is None or reply.text == question.text


def makes_no_call(reply: Reply) -> bool:
    """Whether small talk was answered without a call, not even a broken one."""
    return not reply.calls and "<tool_call>" not in reply.text


def main() -> int:
    """Read the options, ask, print, and return the exit status."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--url", required=True, help="address of the engine or gateway")
    options.add_argument("--key", default="none", help="API key")
    options.add_argument("--model", default="penstock-tiny")
    options.add_argument("--compare", metavar="URL", help="second engine to compare with")
    options.add_argument("--each", type=int, default=200, help="questions of each kind")
    options.add_argument("--streams", type=int, default=8, help="requests at a time")
    options.add_argument("--seed", type=int, default=EXAM_SEED)
    options.add_argument("--misses", action="store_true", help="show some wrong answers")
    chosen = options.parse_args()
    lexicon = load_lexicon()
    pieces = letter_pieces(MODEL_FOLDER / "tokenizer.json")
    exam = set_exam(Inventor(lexicon, lexicon.held_out, pieces), chosen.seed, chosen.each)
    try:
        replies = _sit(Engine(chosen.url, chosen.key, chosen.model), exam, chosen.streams)
        passed = _report(exam, replies)
        if chosen.misses:
            _show_misses(exam, replies)
        if chosen.compare:
            second = Engine(chosen.compare, chosen.key, chosen.model)
            _report_agreement(exam, replies, _sit(second, exam, chosen.streams))
    except (urllib.error.URLError, OSError) as error:
        print(f"the engine could not be asked: {error}", file=sys.stderr)
        return 2
    return 0 if passed else 1


def _sit(engine: Engine, exam: list[Question], streams: int) -> list[Reply]:
    began = time.monotonic()
    with ThreadPoolExecutor(streams) as pool:
        replies = list(pool.map(engine.ask, exam))
    print(f"{engine.url}: {len(exam)} prompts in {time.monotonic() - began:.0f} s")
    return replies


def _report(exam: list[Question], replies: list[Reply]) -> bool:
    print(f"\n{'kind':<14}{'n':>6}{'exact':>8}{'wanted':>8}")
    passed = True
    for kind in KINDS:
        share, count = _share(exam, kind, lambda i, q: is_right(q, replies[i]))
        wanted = THRESHOLDS.get(kind)
        met = wanted is None or share >= wanted
        passed = passed and met
        print(_row(kind, count, share, wanted))
    share, count = _share(exam, "small talk", lambda i, _: makes_no_call(replies[i]))
    print(_row("no call", count, share, THRESHOLDS["no call"]))
    return passed and share >= THRESHOLDS["no call"]


def _row(kind: str, count: int, share: float, wanted: float | None) -> str:
    goal = f"{wanted:.0%}" if wanted else "-"
    missed = wanted is not None and share < wanted
    return f"{kind:<14}{count:>6}{share:>8.1%}{goal:>8}{'  MISSED' if missed else ''}"


def _report_agreement(exam: list[Question], ours: list[Reply], theirs: list[Reply]) -> None:
    print(f"\n{'kind':<14}{'n':>6}{'agree':>8}{'right 2':>9}")
    for kind in KINDS:
        same, count = _share(exam, kind, lambda i, _: _equal(ours[i], theirs[i]))
        right, _ = _share(exam, kind, lambda i, q: is_right(q, theirs[i]))
        print(f"{kind:<14}{count:>6}{same:>8.1%}{right:>9.1%}")


def _share(
    exam: list[Question], kind: str, holds: Callable[[int, Question], bool]
) -> tuple[float, int]:
    votes = [holds(i, question) for i, question in enumerate(exam) if question.kind == kind]
    return sum(votes) / max(1, len(votes)), len(votes)


def _equal(one: Reply, two: Reply) -> bool:
    first, second = ([(n, _read(a)) for n, a in reply.calls] for reply in (one, two))
    return one.text == two.text and first == second


def _show_misses(exam: list[Question], replies: list[Reply]) -> None:
    for kind in KINDS:
        pairs = zip(exam, replies, strict=True)
        wrong = [(q, r) for q, r in pairs if q.kind == kind and not is_right(q, r)]
        for question, reply in wrong[:MISSES_SHOWN]:
            said = [m["content"] for m in question.messages if m["role"] == "user"][-1]
            print(f"{kind}: {said}\n    -> {reply.text} {list(reply.calls)}")


def _read(arguments: str) -> object:
    try:
        return json.loads(arguments)
    except ValueError:
        return arguments


if __name__ == "__main__":
    sys.exit(main())
