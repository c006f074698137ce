"""What is said to a container and what it says, put into the embedded engine's words and back.

The engine speaks vLLM's dialect, so AWS's vLLM container and images of the user's own pass as they
are. The others translate at `/invocations` alone: OpenAI's route is one of SageMaker's, which only
containers that speak it have.
"""

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

from penstock.rehearsal.dialects.containers import LMI, TGI, TRITON

Told = dict[str, Any]
EVENTS, LINES, JSON = "text/event-stream", "application/jsonlines", "application/json"
PARAMETERS = {
    "max_new_tokens": "max_tokens", "max_tokens": "max_tokens", "temperature": "temperature",
    "top_p": "top_p", "top_k": "top_k", "seed": "seed", "stop": "stop", "stop_sequences": "stop",
    "repetition_penalty": "repetition_penalty", "frequency_penalty": "frequency_penalty",
    "ignore_eos": "ignore_eos", "min_tokens": "min_tokens",
}  # fmt: skip
IGNORED = {"do_sample", "return_full_text", "details", "decoder_input_details", "watermark"}


class Unreadable(Exception):
    """The container answers 4xx: the body is none of its dialect; the text is its error."""


@dataclass(frozen=True, slots=True)
class Asked:
    """What goes to the engine: the path and the body; and how to say its answer."""

    path: str
    body: bytes
    streams: bool
    dialect: str = ""

    @property
    def content_type(self) -> str:
        """The type of what is streamed."""
        return LINES if self.dialect == LMI else EVENTS


def ask(dialect: str, body: bytes, environment: Mapping[str, str], adapter: str = "") -> Asked:
    """Return what a body at `/invocations` asks of the engine; raises Unreadable."""
    asked = _ask(dialect, body, environment)
    if not adapter or not asked.dialect:
        return asked  # the engine is told the adapter by a header, at `/invocations`
    wish = {**json.loads(asked.body), "model": adapter}
    return replace(asked, body=json.dumps(wish).encode())


def _ask(dialect: str, body: bytes, environment: Mapping[str, str]) -> Asked:
    if dialect not in {LMI, TGI, TRITON}:
        return Asked("/invocations", body, streams=False)
    try:
        told = json.loads(body)
    except ValueError as error:
        raise Unreadable(f"Failed to parse the request body as JSON: {error}") from error
    if not isinstance(told, dict):
        raise Unreadable("the body is not a JSON object")
    if dialect == TRITON:
        return _ask_triton(told, environment)
    if dialect == LMI and ("messages" in told or "prompt" in told):
        return Asked("/invocations", body, streams=False)
    if not isinstance(told.get("inputs"), str):
        raise Unreadable("missing field `inputs`")
    streams = bool(told.get("stream"))
    wish = {"prompt": told["inputs"], "stream": streams, **_parameters(told.get("parameters"))}
    return Asked("/v1/completions", json.dumps(wish).encode(), streams, dialect)


def say(asked: Asked, body: bytes) -> bytes:
    """Return a whole answer of the engine in the words of the dialect."""
    if not asked.dialect:
        return body
    text = json.loads(body)["choices"][0]["text"]
    if asked.dialect == TRITON:
        return json.dumps({"model_version": "1", "text_output": text}).encode()
    told: Any = {"generated_text": text}
    return json.dumps([told] if asked.dialect == TGI else told).encode()


def say_streamed(asked: Asked, chunks: Iterable[bytes]) -> Iterator[bytes]:
    """Return the engine's events in the words of the dialect, as they come."""
    if not asked.dialect:
        yield from chunks
        return
    whole, number = "", 0
    for text, is_last in _texts(chunks):
        whole, number = whole + text, number + 1
        if asked.dialect == LMI:
            told: Told = {"token": {"id": number, "text": text, "log_prob": 0.0}}
            yield (
                json.dumps(told | ({"generated_text": whole} if is_last else {})).encode() + b"\n"
            )
        elif asked.dialect == TGI:
            token = {"id": number, "text": text, "logprob": 0.0, "special": False}
            told = {"index": number, "token": token, "details": None,
                    "generated_text": whole if is_last else None}  # fmt: skip
            yield b"data:" + json.dumps(told).encode() + b"\n\n"
        else:
            said = json.dumps({"model_version": "1", "text_output": text}).encode()
            yield b"data: " + said + b"\n\n"


def _ask_triton(told: Told, environment: Mapping[str, str]) -> Asked:
    kind = environment.get("SAGEMAKER_TRITON_INFERENCE_TYPE", "infer")
    if kind == "infer":
        raise Unreadable(
            "Unable to parse 'inputs': the stand-in takes no tensors, only what "
            "SAGEMAKER_TRITON_INFERENCE_TYPE: generate or generate_stream takes"
        )
    if not isinstance(told.get("text_input"), str):
        raise Unreadable("Unable to parse 'text_input': attempt to access a missing field")
    streams = bool(told.get("stream"))
    if streams and kind == "generate":
        raise Unreadable(
            "generate expects model to produce exactly 1 response, use generate stream for model "
            "that generates various number of responses"
        )
    wish = {"prompt": told["text_input"], **_parameters(told.get("parameters"))}
    wish["stream"] = kind == "generate_stream"
    return Asked("/v1/completions", json.dumps(wish).encode(), wish["stream"], TRITON)


def _parameters(given: Any) -> Told:
    found: Told = {}
    for name, value in (given or {}).items():
        if name in PARAMETERS:
            found[PARAMETERS[name]] = value
        elif name not in IGNORED:
            raise Unreadable(f"unknown field `{name}` in `parameters`")
    return found


def _texts(chunks: Iterable[bytes]) -> Iterator[tuple[str, bool]]:
    """Return each piece of text of a completion's stream, and whether it is the last one."""
    held, waiting = b"", None
    for chunk in chunks:
        *events, held = (held + chunk).split(b"\n\n")
        for event in events:
            data = event.removeprefix(b"data:").strip()
            if not data or data == b"[DONE]":
                continue
            choices = json.loads(data).get("choices") or []
            text = choices[0].get("text", "") if choices else ""
            if waiting is not None and text:
                yield waiting, False
                waiting = text
            elif text:
                waiting = text
    yield waiting or "", True
