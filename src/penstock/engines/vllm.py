"""vLLM: from the manifest to a command line, without touching the world.

Facts this file rests on, for vLLM 0.32:

- On CPU the default KV cache takes 92 % of the memory, so its size is always given; `auto` as
  context makes vLLM take the longest one that fits.
- On CPU, with LoRA, rows of a mixed batch that use no adapter read the last adapter slot: with all
  slots taken, answers of the base model come from an adapter. So there are always more slots than
  adapters.
- On CPU compilation costs 20 s at the first start and a few at each later one; `eager` is the
  default there.
- An API key of vLLM guards `/v1/*` only, so there is none: it listens on loopback alone.
"""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from penstock.catalog.families import TOOL_PARSERS, nearest_parser, tool_parser
from penstock.engines.launch import Launch
from penstock.engines.model_folder import ModelFacts
from penstock.engines.profiles import PROFILES
from penstock.ground.errors import MachineError, ManifestError
from penstock.manifest.model import Engine, Manifest

MIB, GIB = 1 << 20, 1 << 30
CPU_LORA_SLOTS = 8
LORA_RANKS = (16, 32, 64, 128, 256, 320, 512)
READY_S = {"cpu": 600.0, "cuda": 1800.0}
CPU_PROCESSES_BYTES = 2 * GIB  # its processes before any weights (1.8 GB measured)

QUANTIZATION = {
    "fp8": "fp8",
    "int8": "int8_per_channel_weight_only",
    "awq": "awq",
    "gptq": "gptq",
}


@dataclass(frozen=True, slots=True)
class VllmHost:
    """Where vLLM runs: `command` starts its CLI; `memory_bytes` is what is free for it on CPU."""

    command: tuple[str, ...]
    device: Literal["cpu", "cuda"]
    memory_bytes: int = 0


def vllm_launch(manifest: Manifest, facts: ModelFacts, host: VllmHost, port: int) -> Launch:
    """The process that serves the manifest's model at 127.0.0.1:`port`.

    Raises ManifestError for what cannot be combined, MachineError for too little memory.
    """
    refuse_impossible(manifest, host)
    arguments = [
        *host.command,
        "serve",
        facts.source,
        *("--host", "127.0.0.1", "--port", str(port)),
        *("--served-model-name", manifest.served_model),
        *_model_arguments(manifest, facts, host),
        *_engine_arguments(manifest.engine, host),
        *_lora_arguments(manifest, facts, host),
        *_tool_arguments(manifest, facts),
        *("--disable-access-log-for-endpoints", "/health,/metrics,/ping"),
        *manifest.engine.extra_args,
    ]
    return Launch(
        argv=tuple(arguments),
        url=f"http://127.0.0.1:{port}",
        served_model=manifest.served_model,
        ready_timeout_s=READY_S[host.device],
        env=_environment(manifest, facts, host),
    )


def refuse_impossible(manifest: Manifest, host: VllmHost) -> None:
    """Raise ManifestError for settings that vLLM or this machine cannot have together."""
    model, engine = manifest.model, manifest.engine
    if model.quantization == "nf4":
        raise ManifestError(
            "model.quantization: nf4 cannot be served by vLLM",
            fix="Use fp8, int8, awq or gptq",
        )
    if engine.tool_parser not in ("auto", "none", *TOOL_PARSERS):
        near = nearest_parser(engine.tool_parser)
        raise ManifestError(
            f"engine.tool_parser: vLLM has no parser {engine.tool_parser}",
            fix=f"Did you mean {near}?" if near else "Use auto",
        )
    if host.device == "cuda":
        return
    if model.quantization == "fp8":
        raise ManifestError(
            "model.quantization: fp8 needs a GPU",
            why="vLLM has no such kernel for CPUs",
            fix="Use int8, awq or gptq here",
        )
    if engine.tensor_parallel > 1:
        raise ManifestError(
            f"engine.tensor_parallel: {engine.tensor_parallel} needs as many GPUs",
            why="this machine has none",
            fix="Leave it out to serve on the CPU",
        )
    if engine.gpu_memory_utilization is not None:
        raise ManifestError(
            "engine.gpu_memory_utilization has no effect here",
            why="this machine has no GPU",
            fix="Leave it out to serve on the CPU",
        )


def kv_cache_bytes(manifest: Manifest, facts: ModelFacts, host: VllmHost) -> int:
    """Memory for the KV cache on CPU: four full contexts, within a third of what is free.

    At least 256 MiB. Raises MachineError when weights, cache and vLLM itself do not fit.
    """
    context = manifest.model.context or facts.context
    wanted = 4 * context * facts.kv_bytes_per_token or 4 * GIB
    free = host.memory_bytes - facts.weights_bytes - CPU_PROCESSES_BYTES
    if free < 256 * MIB:
        need = facts.weights_bytes + CPU_PROCESSES_BYTES + 256 * MIB
        raise MachineError(
            f"{manifest.served_model} does not fit into memory",
            why=f"needs {need / GIB:.1f} GiB, {host.memory_bytes / GIB:.1f} GiB are free",
            fix="Free memory, serve a smaller model, or use `engine.kind: embedded`",
        )
    return int(min(max(wanted, 256 * MIB), max(free // 3, 256 * MIB)))


def _model_arguments(manifest: Manifest, facts: ModelFacts, host: VllmHost) -> Iterator[str]:
    model, profile = manifest.model, PROFILES[manifest.engine.profile]
    context = model.context or profile.context
    if facts.context and context and not model.context:
        context = min(context, facts.context)
    if context or host.device == "cpu":
        yield from ("--max-model-len", str(context or "auto"))
    if model.revision:
        yield from ("--revision", model.revision)
    if model.dtype != "auto":
        yield from ("--dtype", model.dtype)
    if model.quantization != "none":
        yield from ("--quantization", QUANTIZATION[model.quantization])
    if host.device == "cpu":
        yield from ("--kv-cache-memory-bytes", str(kv_cache_bytes(manifest, facts, host)))


def _engine_arguments(engine: Engine, host: VllmHost) -> Iterator[str]:
    profile = PROFILES[engine.profile]
    if engine.tensor_parallel > 1:
        yield from ("--tensor-parallel-size", str(engine.tensor_parallel))
    if host.device == "cuda":
        share = engine.gpu_memory_utilization or profile.gpu_memory_utilization
        yield from _pair("--gpu-memory-utilization", share)
    yield from _pair("--max-num-seqs", engine.max_sequences or profile.max_sequences)
    tokens = engine.max_batched_tokens or profile.max_batched_tokens
    yield from _pair("--max-num-batched-tokens", tokens)
    yield from _switch("enable-prefix-caching", engine.prefix_caching)
    chunked = engine.chunked_prefill
    yield from _switch(
        "enable-chunked-prefill", profile.chunked_prefill if chunked is None else chunked
    )
    if engine.speculative is not None:
        yield from ("--speculative-config", json.dumps(engine.speculative, sort_keys=True))
    if engine.eager or (engine.eager is None and host.device == "cpu"):
        yield "--enforce-eager"


def _lora_arguments(manifest: Manifest, facts: ModelFacts, host: VllmHost) -> Iterator[str]:
    if not manifest.adapters:
        return
    count = len(manifest.adapters)
    slots = max(CPU_LORA_SLOTS, 2 * count) if host.device == "cpu" else min(count + 1, 16)
    rank = next((known for known in LORA_RANKS if known >= facts.lora_rank), facts.lora_rank)
    yield from ("--enable-lora", "--max-loras", str(slots))
    yield from ("--max-cpu-loras", str(max(slots, 2 * count)), "--max-lora-rank", str(rank))
    yield "--lora-modules"
    for name, place in manifest.adapters.items():
        yield f"{name}={place}"


def _tool_arguments(manifest: Manifest, facts: ModelFacts) -> Iterator[str]:
    parser: str | None = manifest.engine.tool_parser
    if parser == "auto":
        parser = tool_parser(manifest.model.id, facts.template)
    if parser and parser != "none":
        yield from ("--enable-auto-tool-choice", "--tool-call-parser", parser)
        yield "--exclude-tools-when-tool-choice-none"


def _environment(manifest: Manifest, facts: ModelFacts, host: VllmHost) -> dict[str, str]:
    env = {"VLLM_NO_USAGE_STATS": "1"}
    if facts.is_folder:
        env["HF_HUB_OFFLINE"] = "1"
    if manifest.adapters:
        env["VLLM_ALLOW_RUNTIME_LORA_UPDATING"] = "True"
    if host.device == "cpu":
        env["VLLM_TARGET_DEVICE"] = "cpu"
    return env


def _pair(flag: str, value: float | None) -> tuple[str, ...]:
    return () if value is None else (flag, str(value))


def _switch(name: str, value: bool | None) -> tuple[str, ...]:
    return () if value is None else (f"--{name}" if value else f"--no-{name}",)
