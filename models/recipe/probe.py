"""A quick look at the network while it trains: are held-out answers right, token for token?

A turn counts when every one of its tokens is the network's first choice given the true text before
it, which is exactly when greedy decoding would write that turn.
"""

from collections import Counter

import torch
from tokenizers import Tokenizer
from transformers import LlamaForCausalLM

from .batches import Example, encode_dialogue, pad
from .dialogues import Dialogue, Renderer
from .exam import Question

ROWS = 32


def probe(
    network: LlamaForCausalLM, tokenizer: Tokenizer, exam: list[Question]
) -> tuple[dict[str, float], list[str]]:
    """Per kind, the share of turns that greedy decoding gets right; and some turns it does not."""
    renderer = Renderer()
    right: Counter[str] = Counter()
    asked: Counter[str] = Counter(question.kind for question in exam)
    misses = []
    for start in range(0, len(exam), ROWS):
        questions = exam[start : start + ROWS]
        examples = [_solve(question, tokenizer, renderer) for question in questions]
        ids, weights = pad(examples)
        with torch.no_grad():
            chosen = network(ids).logits[:, :-1].argmax(-1)
        exact = ((chosen == ids[:, 1:]) | (weights[:, 1:] == 0)).all(-1)
        for row, question in enumerate(questions):
            right[question.kind] += int(exact[row])
            if not exact[row]:
                said = chosen[row][weights[row, 1:] > 0].tolist()
                user = [m["content"] for m in question.messages if m["role"] == "user"][-1]
                misses.append(f"{user} -> {tokenizer.decode(said, skip_special_tokens=False)}")
    return {kind: right[kind] / count for kind, count in asked.items()}, misses


def _solve(question: Question, tokenizer: Tokenizer, renderer: Renderer) -> Example:
    dialogue = Dialogue((*question.messages, question.solution()), question.tools)
    example = encode_dialogue(dialogue, tokenizer, renderer)
    starts = [i for i, w in enumerate(example.weights) if w and not example.weights[i - 1]]
    last = starts[-1]
    return Example(example.ids, [0.0] * last + example.weights[last:])
