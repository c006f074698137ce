"""The tokenizer: byte-level BPE that cuts names alike in prose and in JSON.

Letter runs, single digits and signs of arithmetic are cut first, so that `Paris` becomes the same
tokens after a space as after a quotation mark: copying is then repeating, which is easy to learn.
"""

import random
from collections.abc import Iterator
from pathlib import Path

from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, pre_tokenizers, trainers

from .dialogues import CLOSE, OPEN, Renderer, make_dialogue
from .inventor import Inventor
from .lexicon import Lexicon

VOCABULARY = 2048
PAD, END = "<|pad|>", "<|end|>"
ROLES = ("<|system|>", "<|user|>", "<|assistant|>", "<|tool|>")
VISIBLE = ("<tool_call>", "</tool_call>", "<tools>", "</tools>")
CUTS = r"\p{L}+|\p{N}|[()+\-*/^.%=?!]|[^\p{L}\p{N}()+\-*/^.%=?!]+"
SAMPLE = 30_000


def train_tokenizer(lexicon: Lexicon, seed: int) -> Tokenizer:
    """Train the tokenizer on dialogues, and on the word lists for the sake of real names."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(CUTS), "isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    tokenizer.decoder = decoders.ByteLevel()
    special = [PAD, END, *ROLES]
    trainer = trainers.BpeTrainer(
        vocab_size=VOCABULARY - len(VISIBLE),
        special_tokens=special,
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
        show_progress=False,
    )
    tokenizer.train_from_iterator(_corpus(lexicon, seed), trainer)
    tokenizer.add_tokens([AddedToken(text, special=False, normalized=False) for text in VISIBLE])
    return tokenizer


def load_tokenizer(folder: Path) -> Tokenizer:
    """The tokenizer of a model folder."""
    return Tokenizer.from_file(str(folder / "tokenizer.json"))


def _corpus(lexicon: Lexicon, seed: int) -> Iterator[str]:
    rng = random.Random(seed)
    renderer = Renderer()
    make = Inventor(lexicon, lexicon.training, ())
    for _ in range(SAMPLE):
        text = renderer.render(make_dialogue(rng, make))
        text = text.replace(OPEN, "").replace(CLOSE, "")
        for token in (PAD, END, *ROLES, *VISIBLE):
            text = text.replace(token, "\0")
        yield from text.split("\0")
    yield from lexicon.training.cities * 20
    yield from lexicon.training.products * 10
