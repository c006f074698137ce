"""The evaluation asks what training never showed: nothing of it may leak."""

import random
import re
from collections.abc import Iterator

import pytest
from models.recipe.dialogues import CLOSE, OPEN, Renderer, make_dialogue
from models.recipe.exam import KINDS, Question, set_exam
from models.recipe.inventor import Inventor
from models.recipe.lexicon import Lexicon, load_lexicon

PIECES = ("an", "bor", "ka", "New", "tel", "is", "Rey", "x")
DIALOGUES = 2500


@pytest.fixture(scope="module")
def lexicon() -> Lexicon:
    return load_lexicon()


@pytest.fixture(scope="module")
def training_text(lexicon: Lexicon) -> str:
    rng, renderer = random.Random(1), Renderer()
    make = Inventor(lexicon, lexicon.training, PIECES)
    texts = (renderer.render(make_dialogue(rng, make)) for _ in range(DIALOGUES))
    return "\n".join(texts).replace(OPEN, "").replace(CLOSE, "")


@pytest.fixture(scope="module")
def exam(lexicon: Lexicon) -> list[Question]:
    return set_exam(Inventor(lexicon, lexicon.held_out, PIECES), seed=71, each=100)


def _values(exam: list[Question]) -> Iterator[str]:
    for question in exam:
        for call in question.calls:
            if call.name in {"get_current_weather", "calculate_math", "search_database"}:
                yield str(next(iter(call.arguments.values())))


def test_real_held_out_words_never_stand_in_a_training_dialogue(
    lexicon: Lexicon, training_text: str
) -> None:
    words = (*lexicon.held_out.cities, *lexicon.held_out.products, *lexicon.held_out.people)
    found = [w for w in words if re.search(rf"(?<!\w){re.escape(w)}(?!\w)", training_text)]
    assert found == []


def test_arguments_of_the_exam_are_never_trained_on(
    exam: list[Question], training_text: str
) -> None:
    trained = set(re.findall(r'"(?:location|expression|query)": "([^"]*)"', training_text))
    assert trained
    assert trained & set(_values(exam)) == set()


def test_every_argument_of_the_exam_is_held_out(lexicon: Lexicon, exam: list[Question]) -> None:
    singular = {*lexicon.held_out.products}
    values = [v for v in _values(exam) if not _is_plural_of(v, singular)]
    assert [v for v in values if not lexicon.is_held_out(v)] == []


def test_wordings_kept_for_the_exam_are_not_trained_on(lexicon: Lexicon) -> None:
    for topic in (*lexicon.faq, *lexicon.small_talk, *lexicon.unknown):
        assert topic.held_out, topic.answer
        assert set(topic.training).isdisjoint(topic.held_out), topic.answer
    sections = lexicon.phrases
    kept = [name for name in sections if name.endswith("(held out)")]
    assert len(kept) == 4
    for name in kept:
        trained = sections[name.removesuffix(" (held out)")]
        assert set(sections[name]).isdisjoint(trained), name


def test_no_training_message_is_a_wording_kept_for_the_exam(
    lexicon: Lexicon, training_text: str
) -> None:
    said = re.findall(r"<\|user\|>(.*?)<\|end\|>", training_text)
    assert len(said) > DIALOGUES
    bare = {text.strip("?.! ").lower() for text in said}
    assert sorted(bare & lexicon.kept_wordings) == []


def test_a_question_wording_belongs_to_one_answer_only(lexicon: Lexicon) -> None:
    topics = (*lexicon.faq, *lexicon.small_talk, *lexicon.unknown)
    wordings = [w for topic in topics for w in (*topic.training, *topic.held_out)]
    assert sorted({w for w in wordings if wordings.count(w) > 1}) == []


def test_the_exam_is_the_same_for_the_same_seed(lexicon: Lexicon, exam: list[Question]) -> None:
    again = set_exam(Inventor(lexicon, lexicon.held_out, PIECES), seed=71, each=100)
    assert again == exam
    assert [sum(q.kind == kind for q in exam) for kind in KINDS] == [100] * len(KINDS)


def _is_plural_of(value: str, singular: set[str]) -> bool:
    return any(value.startswith(word[:-1]) for word in singular)
