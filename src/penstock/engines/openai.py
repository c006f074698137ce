"""A server that already runs (Ollama, llama.cpp, vLLM): asked which models it has, not started."""

import httpx

from penstock.ground.errors import EngineUnavailable, UserError


def list_models(url: str, api_key: str | None = None, *, timeout_s: float = 5.0) -> list[str]:
    """Names of the models that the OpenAI-compatible server at `url` (without `/v1`) serves.

    Raises EngineUnavailable when nothing answers there, or not as such a server does.
    """
    address = f"{url.rstrip('/').removesuffix('/v1')}/v1/models"
    headers = {"authorization": f"Bearer {api_key}"} if api_key else {}
    try:
        answer = httpx.get(address, headers=headers, timeout=timeout_s)
    except httpx.HTTPError as error:
        raise EngineUnavailable(
            f"no engine answers at {url}",
            why=str(error) or type(error).__name__,
            fix="Start it, or correct --engine-url (`engine.url`)",
        ) from error
    if answer.status_code in (401, 403):
        raise EngineUnavailable(
            f"the engine at {url} refuses us",
            why=f"HTTP {answer.status_code}",
            fix="Give its key as a reference in `engine.api_key`",
        )
    try:
        return [str(model["id"]) for model in answer.raise_for_status().json()["data"]]
    except (httpx.HTTPStatusError, ValueError, KeyError, TypeError) as error:
        raise EngineUnavailable(
            f"what answers at {url} is no OpenAI-compatible server",
            why=f"{address}: {error if isinstance(error, httpx.HTTPStatusError) else 'no models'}",
            fix="Correct --engine-url (`engine.url`)",
        ) from error


def choose_model(url: str, wanted: str | None, models: list[str]) -> str:
    """The model to ask the server for: `wanted`, or the only one it has.

    Raises UserError when it has not got `wanted`, or has several and none was named.
    """
    if wanted in models:
        return wanted
    if wanted is None and len(models) == 1:
        return models[0]
    listed = ", ".join(models[:10]) or "none"
    if wanted is None:
        raise UserError(
            f"which model of {url}?", why=f"it serves {listed}", fix="Choose one with --model"
        )
    raise UserError(
        f"the engine at {url} has no model {wanted}",
        why=f"it serves {listed}",
        fix="Choose one of them with --model",
    )
