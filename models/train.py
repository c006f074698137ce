"""Train the shipped model from nothing: `python models/train.py --out FOLDER`.

Seeded: the same options on the same machine give the same data and the same starting weights.
"""

import argparse
import time
from pathlib import Path

import torch
from recipe.batches import stream_batches
from recipe.exam import set_exam
from recipe.export import export
from recipe.inventor import Inventor
from recipe.lexicon import load_lexicon
from recipe.network import make_config, make_network
from recipe.pieces import pick_pieces
from recipe.probe import probe
from recipe.vocabulary import END, PAD, load_tokenizer, train_tokenizer
from safetensors.torch import load_file
from torch import Tensor, nn
from transformers import LlamaForCausalLM

BATCH_TOKENS = 8192
WARM_UP_TOKENS = 300_000
PROBE_EVERY_S = 240
BETAS = (0.9, 0.97)
DECAY = 0.05


def main() -> None:
    """Read the options, train, and write the model folder."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--out", type=Path, required=True, help="model folder to write")
    options.add_argument("--tokens", type=float, default=30e6, help="tokens to train on")
    options.add_argument("--rate", type=float, default=1.5e-3, help="highest learning rate")
    options.add_argument("--seed", type=int, default=2026)
    options.add_argument("--start", type=Path, help="go on from this model folder")
    options.add_argument("--threads", type=int, default=2)
    chosen = options.parse_args()
    torch.set_num_threads(chosen.threads)
    lexicon = load_lexicon()
    if chosen.start:
        tokenizer = load_tokenizer(chosen.start)
    else:
        tokenizer = train_tokenizer(lexicon, chosen.seed)
    config = make_config(
        tokenizer.get_vocab_size(), tokenizer.token_to_id(END), tokenizer.token_to_id(PAD)
    )
    network = make_network(config, chosen.seed)
    if chosen.start:
        weights = load_file(chosen.start / "model.safetensors")
        network.load_state_dict({k: v.float() for k, v in weights.items()}, strict=False)
    pieces = pick_pieces(tokenizer.get_vocab())
    exam = set_exam(Inventor(lexicon, lexicon.held_out, pieces), seed=chosen.seed + 1, each=60)
    make = Inventor(lexicon, lexicon.training, pieces)
    batches = stream_batches(chosen.seed, make, tokenizer, BATCH_TOKENS)
    train = Training(network, chosen.rate, chosen.tokens)
    spoken = time.monotonic()
    while train.seen < chosen.tokens:
        train.step(*next(batches))
        if time.monotonic() - spoken > PROBE_EVERY_S or train.seen >= chosen.tokens:
            spoken = time.monotonic()
            network.eval()
            shares, misses = probe(network, tokenizer, exam)
            network.train()
            line = " ".join(f"{kind} {share:.0%}" for kind, share in shares.items())
            print(f"{train.seen / 1e6:.1f} M tokens: {line}", flush=True)
            for miss in misses[:: max(1, len(misses) // 12)]:
                print("   ", miss.replace("\n", " "), flush=True)
            export(network, tokenizer, chosen.out)
    export(network, tokenizer, chosen.out)


class Training:
    """One run: the optimiser, the learning-rate line, and how much has been seen."""

    def __init__(self, network: LlamaForCausalLM, rate: float, tokens: float) -> None:
        matrices = [p for p in network.parameters() if p.dim() == 2]
        vectors = [p for p in network.parameters() if p.dim() != 2]
        self._optimiser = torch.optim.AdamW(
            [{"params": matrices, "weight_decay": DECAY}, {"params": vectors, "weight_decay": 0}],
            lr=rate,
            betas=BETAS,
            fused=True,
        )
        self._network, self._rate, self._tokens = network, rate, tokens
        self._began, self._steps, self._loss = time.monotonic(), 0, 0.0
        self.seen = 0

    def step(self, ids: Tensor, weights: Tensor) -> None:
        """Learn from one batch."""
        rate = self._rate * min(1.0, (self.seen + 1) / WARM_UP_TOKENS)
        rate *= max(0.02, 1 - self.seen / self._tokens)
        for group in self._optimiser.param_groups:
            group["lr"] = rate
        loss = weighted_loss(self._network, ids, weights)
        loss.backward()
        nn.utils.clip_grad_norm_(self._network.parameters(), 1.0)
        self._optimiser.step()
        self._optimiser.zero_grad()
        self.seen += int((ids > 0).sum())
        self._steps += 1
        self._loss = 0.98 * self._loss + 0.02 * float(loss.detach())
        if self._steps % 50 == 0:
            pace = self.seen / (time.monotonic() - self._began)
            loss_now = self._loss / (1 - 0.98**self._steps)
            print(
                f"step {self._steps} {self.seen / 1e6:.2f} M loss {loss_now:.4f} {pace:.0f} tok/s",
                flush=True,
            )


def weighted_loss(network: LlamaForCausalLM, ids: Tensor, weights: Tensor) -> Tensor:
    """Mean cross-entropy of the assistant's tokens, each counted by its weight."""
    chosen = weights[:, 1:] > 0
    with torch.autocast("cpu", dtype=torch.bfloat16):
        hidden = network.model(ids).last_hidden_state[:, :-1][chosen]
        logits = hidden @ network.model.embed_tokens.weight.T
    each = nn.functional.cross_entropy(logits.float(), ids[:, 1:][chosen], reduction="none")
    heat = weights[:, 1:][chosen]
    return (each * heat).sum() / heat.sum()


if __name__ == "__main__":
    main()
