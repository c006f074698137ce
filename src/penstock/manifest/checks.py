"""What one field alone cannot tell: whether the parts of a manifest fit each other.

A setting that would have no effect is a mistake here, for nothing is ignored in silence.
"""

from collections.abc import Iterator

from penstock.manifest.archive_checks import check_audit, check_batches, check_cache
from penstock.manifest.customer_checks import (
    check_key_sources,
    check_priced_and_limited,
    check_prices,
)
from penstock.manifest.fields import Path
from penstock.manifest.flaws import NO_URL, Flaw, http_url, unknown_name
from penstock.manifest.front_checks import check_front, check_network
from penstock.manifest.model import BUILT_IN_TOOLS, SHIPPED_MODEL, Manifest
from penstock.manifest.routing_checks import check_models, check_routes
from penstock.manifest.target_checks import check_target

ENGINE_SETTINGS = {
    "replicas": ("embedded", "vllm"),
    "profile": ("vllm", "lmi", "triton"),
    "tensor_parallel": ("vllm", "lmi", "tgi", "triton"),
    "gpu_memory_utilization": ("vllm", "lmi", "triton"),
    "max_sequences": ("embedded", "vllm", "lmi", "tgi", "triton"),
    "max_batched_tokens": ("vllm", "lmi", "triton"),
    "prefix_caching": ("vllm", "lmi", "triton"),
    "chunked_prefill": ("vllm", "lmi", "triton"),
    "speculative": ("vllm", "lmi"),
    "tool_parser": ("embedded", "vllm", "lmi"),
    "eager": ("vllm", "lmi", "triton"),
    "extra_args": ("embedded", "vllm"),
    "url": ("openai",),
    "api_key": ("openai",),
    "endpoint": ("sagemaker",),
    "component": ("sagemaker",),
}
"""Which engines a field of `engine` has an effect on."""

OWN_ARGUMENTS = {
    "--host": "gateway.host",
    "--port": "gateway.port",
    "--model": "model.id",
    "--served-model-name": "model.served_name",
    "--max-model-len": "model.context",
    "--dtype": "model.dtype",
    "--quantization": "model.quantization",
    "--lora-modules": "adapters",
    "--enable-lora": "adapters",
    "--api-key": "",
    "--hf-token": "",
}
"""Engine arguments that Penstock sets itself, and the field they come from."""


def check(manifest: Manifest) -> list[Flaw]:
    """Everything in `manifest` that does not fit something else in it."""
    checks = (
        _engine_address,
        _engine_settings,
        _engine_arguments,
        _engine_batch,
        _model,
        _adapters,
        _tenants,
        _tool_sources,
        check_key_sources,
        check_models,
        check_routes,
        check_prices,
        check_priced_and_limited,
        check_cache,
        check_audit,
        check_batches,
        check_target,
        check_front,
        check_network,
        _load,
        _addresses,
        _times,
        _queue,
    )
    return [flaw for one in checks for flaw in one(manifest)]


def _engine_address(manifest: Manifest) -> Iterator[Flaw]:
    engine = manifest.engine
    if manifest.engine_kind == "sagemaker" and engine.endpoint is None:
        what, fix = "engine.kind sagemaker needs engine.endpoint", "Name the endpoint."
        yield Flaw(("engine",), what, fix, "endpoint: support-bot")
    if manifest.engine_kind != "openai":
        return
    if engine.url is None:
        fix = "Give the address of the running server."
        yield Flaw(
            ("engine",), "engine.kind openai needs engine.url", fix, "url: http://127.0.0.1:11434"
        )
    elif not (url := http_url(engine.url)):
        yield Flaw(("engine", "url"), *NO_URL)
    elif url.path.rstrip("/").endswith("/v1"):
        yield Flaw(("engine", "url"), "engine.url ends in /v1", "Leave /v1 out: it is added.")
    elif url.hostname in ("127.0.0.1", "localhost") and url.port == manifest.gateway.port:
        yield Flaw(
            ("engine", "url"),
            f"engine.url is the gateway's own address (port {url.port})",
            "Give one of them another port.",
        )


def _engine_settings(manifest: Manifest) -> Iterator[Flaw]:
    engine, kind = manifest.engine, manifest.engine_kind
    for name, kinds in ENGINE_SETTINGS.items():
        default = type(engine).model_fields[name].default
        if kind in kinds or getattr(engine, name) == default:
            continue
        chosen = " (chosen by auto)" if engine.kind == "auto" else ""
        yield Flaw(
            ("engine", name),
            f"engine.{name} has no effect on engine.kind {kind}{chosen}",
            f"Remove it, or set engine.kind: {' or '.join(kinds)}.",
        )
    if kind == "embedded" and engine.tool_parser not in ("auto", "hermes", "none"):
        yield Flaw(
            ("engine", "tool_parser"),
            f"the embedded engine has no tool parser '{engine.tool_parser}'",
            "Use auto, hermes or none.",
        )
    if engine.speculative is not None and not {"method", "model"} & set(engine.speculative):
        yield Flaw(
            ("engine", "speculative"),
            "engine.speculative names neither a method nor a draft model",
            example="speculative: {method: ngram, num_speculative_tokens: 4}",
        )


def _engine_arguments(manifest: Manifest) -> Iterator[Flaw]:
    for index, argument in enumerate(manifest.engine.extra_args):
        flag = argument.partition("=")[0]
        if flag not in OWN_ARGUMENTS:
            continue
        field = OWN_ARGUMENTS[flag]
        fix = f"Set {field} instead." if field else "Engines need no key: they listen on loopback."
        yield Flaw(("engine", "extra_args", index), f"{flag} is set by Penstock itself", fix)


def _engine_batch(manifest: Manifest) -> Iterator[Flaw]:
    """Two rules that vLLM itself would stop at, minutes later."""
    engine, context = manifest.engine, manifest.model.context
    tokens = engine.max_batched_tokens
    if tokens is None:
        return
    if engine.max_sequences and tokens < engine.max_sequences:
        yield Flaw(
            ("engine", "max_batched_tokens"),
            f"engine.max_batched_tokens ({tokens}) is less than "
            f"engine.max_sequences ({engine.max_sequences})",
            "A step computes at least one token for each sequence.",
        )
    if engine.chunked_prefill is False and context and tokens < context:
        yield Flaw(
            ("engine", "max_batched_tokens"),
            f"engine.max_batched_tokens ({tokens}) is less than model.context ({context})",
            "Without chunked_prefill a prompt is computed in one step.",
        )


def _model(manifest: Manifest) -> Iterator[Flaw]:
    model, kind = manifest.model, manifest.engine_kind
    if model.revision and (model.id == SHIPPED_MODEL or model.id.startswith((".", "/", "s3:"))):
        what = "model.revision belongs to a Hugging Face id, and model.id is none"
        yield Flaw(("model", "revision"), what, "Remove it.")
    if model.quantization != "none" and kind in (
        "embedded",
        "openai",
        "sagemaker",
    ):
        what = f"model.quantization has no effect on engine.kind {kind}"
        yield Flaw(("model", "quantization"), what, "Remove it, or set engine.kind: vllm.")
    if model.tools_format not in ("auto", "engine") and not manifest.runs_elsewhere:
        what = f"model.tools_format has no effect on engine.kind {kind}, which parses calls itself"
        yield Flaw(("model", "tools_format"), what, "Remove it.")
    if kind == "vllm" and model.id == SHIPPED_MODEL and model.quantization != "none":
        what = "the shipped model comes in bfloat16 only"
        yield Flaw(("model", "quantization"), what, "Remove it.")
    if kind == "embedded" and model.dtype not in ("auto", "float32"):
        what = f"the embedded engine computes in float32, not {model.dtype}"
        yield Flaw(("model", "dtype"), what, "Remove it, or set engine.kind: vllm.")


def _adapters(manifest: Manifest) -> Iterator[Flaw]:
    for name, place in manifest.adapters.items():
        if name == manifest.served_model:
            what = f"the adapter '{name}' has the name of the model"
            yield Flaw(("adapters", name), what, "Rename it, or set model.served_name.")
        if not place:
            yield Flaw(("adapters", name), f"the adapter '{name}' has no folder")
    if manifest.adapters and manifest.runs_elsewhere:
        what = f"adapters have no effect on engine.kind {manifest.engine_kind}"
        cloud = manifest.engine_kind == "sagemaker"
        fix = (
            "Name their components under models." if cloud else "The running server loads its own."
        )
        yield Flaw(("adapters",), what, fix)


def _tenants(manifest: Manifest) -> Iterator[Flaw]:
    known = list(manifest.names)
    foreign = manifest.engine_kind == "openai" and not manifest.model.served_name
    for name, tenant in manifest.tenants.items():
        for index, model in enumerate(tenant.models):
            if model != "*" and model not in known and not foreign:
                path = ("tenants", name, "models", index)
                yield unknown_name(path, "model or adapter", model, known)
        for index, tool in enumerate(tenant.tools):
            if tool not in BUILT_IN_TOOLS and tool.partition(".")[0] not in manifest.tools:
                path = ("tenants", name, "tools", index)
                yield unknown_name(path, "tool", tool, [*BUILT_IN_TOOLS, *manifest.tools])
        for kind in ("tool_secrets", "tool_arguments"):
            for source in getattr(tenant, kind):
                if source not in manifest.tools:
                    path = ("tenants", name, kind, source)
                    yield unknown_name(path, "source of tools", source, list(manifest.tools))


TOOL_SETTINGS = {
    "only": ("mcp", "command"),
    "resources": ("mcp", "command"),
    "operations": ("openapi",),
    "url": ("openapi",),
    "queries": ("database", "database_url"),
    "secret": ("mcp", "command", "openapi", "python"),
    "variable": ("command",),
    "header": ("mcp", "openapi"),
    "hosts": ("mcp", "openapi"),
    "private": ("mcp", "openapi"),
}
"""Which kinds of source a field of `tools.<name>` has an effect on; others: on all."""


def _tool_sources(manifest: Manifest) -> Iterator[Flaw]:
    kinds = ("mcp", "command", "openapi", "database", "database_url", "python")
    for name, source in manifest.tools.items():
        path: Path = ("tools", name)
        given = [kind for kind in kinds if getattr(source, kind) not in (None, ())]
        if name in BUILT_IN_TOOLS:
            yield Flaw(path, f"{name} is a built-in tool", "Choose another name.")
        if "." in name:
            yield Flaw(path, f"the dot in '{name}' would part a source and its tool", "Rename it.")
        if len(given) != 1:
            told = " and ".join(given) or "nothing"
            fix = f"Give one of: {', '.join(kinds)}."
            yield Flaw(path, f"tools.{name} says {told} of where the tools come from", fix)
            continue
        for field, apt in TOOL_SETTINGS.items():
            default = type(source).model_fields[field].get_default(call_default_factory=True)
            if given[0] not in apt and getattr(source, field) != default:
                what = f"tools.{name}.{field} has no effect on {given[0]}"
                yield Flaw((*path, field), what, "Remove it.")
        if given[0].startswith("database") and not source.queries:
            yield Flaw(path, f"tools.{name} has a database and no queries", "Add queries.")


def _load(manifest: Manifest) -> Iterator[Flaw]:
    load, context = manifest.load, manifest.model.context
    needed = load.prompt_tokens + load.output_tokens
    if context and load.model_fields_set and needed > context:
        yield Flaw(
            ("load",),
            f"load: prompt and answer together ({needed} tokens) exceed model.context ({context})",
            "Raise model.context, or lower load.prompt_tokens.",
        )


def _addresses(manifest: Manifest) -> Iterator[Flaw]:
    weather = manifest.builtin_tools.weather_url
    if weather and not http_url(weather):
        yield Flaw(("builtin_tools", "weather_url"), *NO_URL)
    receiver = manifest.tracing.endpoint
    if receiver and not http_url(receiver):
        yield Flaw(("tracing", "endpoint"), *NO_URL)
    for name, source in manifest.tools.items():
        for field in ("url", "mcp"):
            address = getattr(source, field)
            if address and not http_url(address):
                yield Flaw(("tools", name, field), *NO_URL)
    host = manifest.gateway.host
    if "/" in host or " " in host or host.count(":") == 1:
        yield Flaw(
            ("gateway", "host"),
            f"gateway.host is no address: '{host}'",
            "Give an address or a host name alone; the port is gateway.port.",
            "host: 127.0.0.1",
        )


def _times(manifest: Manifest) -> Iterator[Flaw]:
    turns, gateway = manifest.turns, manifest.gateway
    turn = ("turns.turn_timeout_s", turns.turn_timeout_s)
    request = ("gateway.request_timeout_s", gateway.request_timeout_s)
    inner_outer = (
        ("turns", "call_timeout_s", turns, turn),
        ("turns", "turn_timeout_s", turns, request),
        ("gateway", "body_timeout_s", gateway, request),
        ("scale.wake", "timeout_s", manifest.scale.wake, request),
    )
    for section, name, given, (outer, most_s) in inner_outer:
        seconds = getattr(given, name)
        if name in given.model_fields_set and seconds > most_s:
            what = f"{section}.{name} ({seconds:g}) is longer than {outer} ({most_s:g})"
            yield Flaw((*section.split("."), name), what, "The longer one can never be reached.")


def _queue(manifest: Manifest) -> Iterator[Flaw]:
    queue = manifest.queue
    if queue.max_running is None and manifest.engine.max_sequences is None:
        for name in sorted(queue.model_fields_set):
            what = f"queue.{name} has no effect: nothing says how many requests an engine takes"
            yield Flaw(("queue", name), what, "Give queue.max_running.", "max_running: 32")
        return
    longest = manifest.gateway.request_timeout_s
    if "max_wait_s" in queue.model_fields_set and queue.max_wait_s > longest:
        what = f"queue.max_wait_s is longer than gateway.request_timeout_s ({longest:g})"
        yield Flaw(("queue", "max_wait_s"), what, "The longer one can never be reached.")
