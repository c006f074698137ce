"""Text to tokens and back: `tokenizer.json`, the special tokens, and text that grows by tokens."""

from pathlib import Path
from typing import Any

import tokenizers

from penstock.engines.embedded.checkpoint import read_json
from penstock.engines.embedded.template import ChatTemplate
from penstock.ground.errors import RequestError, UserError

REPLACEMENT = "\ufffd"
"""What stands for bytes that are not, or not yet, a character."""

CHARACTER_TOKENS = 16
"""Pending tokens after which bytes count as wrong, not as unfinished (a character has 4)."""

CONTEXT_TOKENS = 6
"""Tokens of the prompt that decide how the first generated one is spaced."""

_SPECIAL = ("bos_token", "eos_token", "unk_token", "sep_token", "pad_token", "cls_token")


class Tokenizer:
    """The tokenizer of one model folder, with its chat template if it has one."""

    def __init__(self, folder: Path) -> None:
        """Load it.

        Raises:
            UserError: `tokenizer.json` is missing or cannot be used.
        """
        file = folder / "tokenizer.json"
        if not file.is_file():
            raise UserError(
                f"{folder} holds no tokenizer.json",
                fix="Convert the model's tokenizer with transformers' `save_pretrained`.",
            )
        try:
            self._tokenizer = tokenizers.Tokenizer.from_file(str(file))
        except Exception as error:
            raise UserError(
                "the tokenizer cannot be loaded", why=str(error), where=str(file)
            ) from error
        self._tokenizer.no_padding()
        self._tokenizer.no_truncation()
        config_file = folder / "tokenizer_config.json"
        self._config = read_json(config_file) if config_file.is_file() else {}
        self.special_tokens = {
            key: _content(self._config[key]) for key in _SPECIAL if self._config.get(key)
        }
        eos = self.special_tokens.get("eos_token")
        self.eos: int | None = None if eos is None else self._tokenizer.token_to_id(eos)
        self._templates = self._read_templates(folder / "chat_template.jinja")

    def _read_templates(self, file: Path) -> dict[str, ChatTemplate]:
        """Return the chat templates by name; the file stands above the configuration."""
        source = file.read_text("utf-8") if file.is_file() else self._config.get("chat_template")
        if source is None:
            return {}
        if isinstance(source, str):
            source = [{"name": "default", "template": source}]
        return {
            entry["name"]: ChatTemplate(entry["template"], self.special_tokens) for entry in source
        }

    def template(self, *, with_tools: bool) -> ChatTemplate:
        """Return the chat template to use.

        Raises:
            RequestError: the model has none.
        """
        found = self._templates.get("tool_use") if with_tools else None
        found = found or self._templates.get("default")
        if found is None:
            raise RequestError(
                "this model cannot chat",
                why="it comes without a chat template",
                fix="Use /v1/completions.",
                param="messages",
            )
        return found

    def encode(self, text: str, *, add_special_tokens: bool) -> list[int]:
        """Return the tokens of `text`."""
        ids: list[int] = self._tokenizer.encode(text, add_special_tokens=add_special_tokens).ids
        return ids

    def decode(self, ids: list[int], *, skip_special_tokens: bool = True) -> str:
        """Return the text of `ids`."""
        return str(self._tokenizer.decode(ids, skip_special_tokens=skip_special_tokens))

    def piece(self, token: int) -> str:
        """Return the text of one token alone, specials included."""
        return self.decode([token], skip_special_tokens=False)

    def name(self, token: int) -> str:
        """Return the vocabulary entry of a token."""
        return str(self._tokenizer.id_to_token(token))

    def id(self, piece: str) -> int | None:
        """Return the token whose vocabulary entry is `piece`."""
        found: int | None = self._tokenizer.token_to_id(piece)
        return found


class Detokenizer:
    """Turns generated tokens into text piece by piece, never cutting a character.

    A token's text depends on its neighbours (spaces, characters of several tokens), so a short
    context is decoded with the new tokens and what was shown before is left out. Bytes that may
    yet become a character are held back; at the end they are dropped, as they never were one.
    """

    def __init__(
        self, tokenizer: Tokenizer, prompt: list[int], *, skip_special_tokens: bool = True
    ) -> None:
        self._tokenizer, self._skip = tokenizer, skip_special_tokens
        self._context = prompt[-CONTEXT_TOKENS:]
        self._pending: list[int] = []
        self._shown = len(self._decode(self._context).rstrip(REPLACEMENT))

    def push(self, token: int) -> str:
        """Return the text that `token` completes, often empty."""
        self._pending.append(token)
        text = self._decode(self._context + self._pending)
        finished = text
        if len(self._pending) < CHARACTER_TOKENS:
            finished = text.rstrip(REPLACEMENT)
        fresh = finished[self._shown :]
        self._shown = max(self._shown, len(finished))
        if len(finished) == len(text):
            self._context, self._pending = self._pending, []
            self._shown = len(self._decode(self._context))
        return fresh

    def _decode(self, ids: list[int]) -> str:
        return self._tokenizer.decode(ids, skip_special_tokens=self._skip) if ids else ""


def _content(token: Any) -> str:
    """Return a special token's text, written as a string or as an object with `content`."""
    return str(token["content"] if isinstance(token, dict) else token)
