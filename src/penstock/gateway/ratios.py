"""How many bytes a token of a prompt has, by model, as far as was seen."""

from typing import Final

_FIRST_GUESS: Final = 4.0
_WEIGHT: Final = 0.02


class Ratios:
    """Learns from what engines count."""

    __slots__ = ("_ratios",)

    def __init__(self) -> None:
        self._ratios: dict[str, float] = {}

    def guess(self, model: str, body_bytes: int) -> int:
        """Return the tokens a prompt of so many bytes is likely to have."""
        return int(body_bytes / self._ratios.get(model, _FIRST_GUESS)) + 1

    def learn(self, model: str, body_bytes: int, prompt_tokens: int) -> None:
        """Remember how many tokens a body had."""
        if prompt_tokens:
            ratio = self._ratios.get(model, _FIRST_GUESS)
            self._ratios[model] = ratio + (body_bytes / prompt_tokens - ratio) * _WEIGHT
