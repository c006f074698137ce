"""How containers on SageMaker are asked, and where the text stands in their answers."""

import json
from collections.abc import Mapping

CHAT, TGI, TRITON = "chat", "tgi", "triton"


def dialect_of(engine: str) -> str:
    """The dialect of an `engine.kind`; images of one's own are asked as vLLM is."""
    return {"tgi": TGI, "triton": TRITON}.get(engine, CHAT)


def question(
    dialect: str, messages: list[dict[str, str]], options: Mapping[str, object]
) -> dict[str, object]:
    """The body of a request; `options` may be `max_tokens`, `temperature` and `stream`."""
    if dialect == CHAT:
        return {"messages": messages, **options}
    text = "\n".join(each["content"] for each in messages)
    given = dict(options)
    if dialect == TRITON:
        streams = bool(given.pop("stream", False))
        return {"text_input": text, "stream": streams, "parameters": given}
    if "max_tokens" in given:
        given["max_new_tokens"] = given.pop("max_tokens")
    streams = bool(given.pop("stream", False))
    return {"inputs": text, "parameters": given, **({"stream": True} if streams else {})}


def text_of(dialect: str, answer: bytes) -> str:
    """What the model said; raises ValueError where the answer is none of this dialect."""
    try:
        told = json.loads(answer)
        if dialect == TGI:
            first = told[0] if isinstance(told, list) else told
            return str(first["generated_text"])
        if dialect == TRITON:
            return str(told["text_output"])
        return str(told["choices"][0]["message"]["content"])
    except (LookupError, TypeError, ValueError) as error:
        raise ValueError(f"not an answer: {answer[:200]!r}") from error
