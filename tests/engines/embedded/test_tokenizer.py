"""Text that grows token by token is the text of all tokens, never with half a character."""

import json
from pathlib import Path

import pytest
import tokenizers
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.engines.embedded.random_models import write_tokenizer
from tokenizers import decoders, models

from penstock.engines.embedded.tokenizer import Detokenizer, Tokenizer
from penstock.ground.errors import RequestError, UserError


@pytest.fixture(scope="module")
def pieces(tokenizer: Tokenizer) -> Tokenizer:
    return tokenizer


@settings(deadline=None)
@given(text=st.text(), prompt=st.text(max_size=8))
def test_pushed_text_adds_up(pieces: Tokenizer, text: str, prompt: str) -> None:
    prompt_ids = pieces.encode(prompt, add_special_tokens=False)
    detokenizer = Detokenizer(pieces, prompt_ids, skip_special_tokens=False)
    parts = [detokenizer.push(n) for n in pieces.encode(text, add_special_tokens=False)]
    assert "".join(parts).rstrip("\ufffd") == text.rstrip("\ufffd")
    if "\ufffd" not in text:
        assert not any("\ufffd" in part for part in parts)


@settings(deadline=None)
@given(st.lists(st.integers(0, 319), max_size=40))
def test_any_tokens_give_a_beginning_of_their_text(pieces: Tokenizer, ids: list[int]) -> None:
    detokenizer = Detokenizer(pieces, [])
    shown = "".join(detokenizer.push(token) for token in ids)
    whole = pieces.decode(ids)
    assert whole.startswith(shown)
    assert not whole[len(shown) :].strip("\ufffd")


def test_an_unfinished_character_is_held_back_and_then_dropped(pieces: Tokenizer) -> None:
    ids = pieces.encode("x😀", add_special_tokens=False)
    detokenizer = Detokenizer(pieces, [])
    parts = [detokenizer.push(token) for token in ids[:-1]]
    assert "".join(parts) == "x"
    assert detokenizer.push(ids[-1]) == "😀"


def test_special_tokens_are_shown_only_when_asked_for(pieces: Tokenizer) -> None:
    eos = pieces.eos
    assert eos == 1
    assert Detokenizer(pieces, []).push(eos) == ""
    assert Detokenizer(pieces, [], skip_special_tokens=False).push(eos) == "<|im_end|>"
    assert pieces.special_tokens == {"bos_token": "<|im_start|>", "eos_token": "<|im_end|>"}


def test_spaces_of_a_sentencepiece_tokenizer_are_kept(tmp_path: Path) -> None:
    """There the first word of a text loses its space, but not when a prompt precedes it."""
    vocabulary = {"<unk>": 0, "▁Hello": 1, "▁world": 2, "!": 3, "<0xC3>": 4, "<0xA9>": 5}
    tokenizer = tokenizers.Tokenizer(models.BPE(vocabulary, [], byte_fallback=True))
    tokenizer.decoder = decoders.Sequence(
        [
            decoders.Replace("▁", " "),
            decoders.ByteFallback(),
            decoders.Fuse(),
            decoders.Strip(" ", 1, 0),
        ]
    )
    tokenizer.save(str(tmp_path / "tokenizer.json"))
    loaded = Tokenizer(tmp_path)
    detokenizer = Detokenizer(loaded, [1])
    assert [detokenizer.push(n) for n in (2, 3, 4, 5)] == [" world", "!", "", "é"]


def test_templates_come_from_the_file_or_the_configuration(tmp_path: Path) -> None:
    write_tokenizer(tmp_path, chat_template=None)
    with pytest.raises(RequestError, match="cannot chat"):
        Tokenizer(tmp_path).template(with_tools=False)
    file = tmp_path / "tokenizer_config.json"
    config = json.loads(file.read_text())
    config["chat_template"] = [
        {"name": "default", "template": "plain"},
        {"name": "tool_use", "template": "tools"},
    ]
    file.write_text(json.dumps(config))
    assert Tokenizer(tmp_path).template(with_tools=False).render([]) == "plain"
    assert Tokenizer(tmp_path).template(with_tools=True).render([]) == "tools"
    (tmp_path / "chat_template.jinja").write_text("file")
    assert Tokenizer(tmp_path).template(with_tools=True).render([]) == "file"


def test_a_folder_without_a_usable_tokenizer_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"no tokenizer\.json"):
        Tokenizer(tmp_path)
    (tmp_path / "tokenizer.json").write_text("{}")
    with pytest.raises(UserError, match="cannot be loaded"):
        Tokenizer(tmp_path)
