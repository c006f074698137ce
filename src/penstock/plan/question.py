"""From a manifest to the question that sizing answers.

The shape of the model comes from, in this order: the shipped model, a folder with a
`config.json`, the catalogue, the Hugging Face cache of this machine. Nothing is fetched.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import Any

from penstock.catalog.catalogue import HOME_REGION, Catalogue
from penstock.catalog.shape import ModelShape, shape_from_config
from penstock.engines.profiles import PROFILES
from penstock.ground.errors import UserError
from penstock.manifest.model import SHIPPED_MODEL, Manifest
from penstock.sizing.demand import DEFAULT_TTFT_MS, Demand
from penstock.sizing.front import ENDPOINT_SERVICES, SIZES, TWO_GATEWAYS, ZONES, Front
from penstock.sizing.memory import MAX_SEQUENCES, STEP_TOKENS, UTILIZATION, Layout
from penstock.sizing.servers import SERVERS
from penstock.sizing.serving import Load

_LORA_SLOTS, _USUAL_CONTEXT = 16, 8192


@dataclass(frozen=True, slots=True)
class Wishes:
    """What the command line adds to the manifest; None and False leave it as it is."""

    region: str | None = None
    explore: bool = False
    extrapolate: bool = False


def find_shape(manifest: Manifest, catalogue: Catalogue, hub_cache: Path) -> ModelShape:
    """The shape of the manifest's model.

    Raises:
        UserError: nobody here knows the model (the nearest known ids are named), or it runs
            elsewhere already.
    """
    name = manifest.model.id
    if manifest.runs_elsewhere:
        raise UserError(
            f"there is nothing to plan for {manifest.name}",
            why=f"engine.kind is {manifest.engine_kind}: a server that runs already computes the "
            "tokens",
            fix="Set engine.kind: vllm to plan machines for the model.",
        )
    if name == SHIPPED_MODEL:
        config = files("penstock.engines.embedded").joinpath("model", "config.json")
        return shape_from_config(name, json.loads(config.read_text("utf-8")))
    folder = Path(name).expanduser()
    if (folder / "config.json").is_file():
        return shape_from_config(name, _read(folder / "config.json"))
    known = catalogue.find_model(name)
    if known:
        return known
    snapshots = hub_cache / f"models--{name.replace('/', '--')}" / "snapshots"
    cached = sorted(snapshots.glob("*/config.json"))
    if cached:
        return shape_from_config(name, _read(cached[-1]))
    near = catalogue.nearest_models(name)
    hint = (
        f"Did you mean {' or '.join(near)}?" if near else "`penstock catalog models` lists them."
    )
    raise UserError(
        f"the size of {name} is unknown here",
        why="it is neither in the catalogue, nor in the Hugging Face cache, nor a folder",
        fix=f"{hint} Or point model.id at a folder with its config.json.",
    )


def ask(manifest: Manifest, shape: ModelShape, wishes: Wishes) -> Demand:
    """The question that `manifest` asks.

    Raises:
        UserError: the context is longer than the model's own.
    """
    usual = PROFILES[manifest.engine.profile].context or _USUAL_CONTEXT
    context = manifest.model.context or min(shape.context, usual)
    if context > shape.context:
        raise UserError(
            f"model.context ({context}) is longer than {shape.id} was made for ({shape.context})",
            fix=f"Set model.context to {shape.context} or less.",
        )
    load, target, scale = manifest.load, manifest.target, manifest.scale
    return Demand(
        shape=shape,
        quantization=_quantization(manifest),
        load=Load(load.prompt_tokens, load.output_tokens),
        requests_per_minute=load.requests_per_minute,
        layout=_layout(manifest),
        place=place(manifest),
        region=wishes.region or target.region or HOME_REGION,
        context=max(context, load.prompt_tokens + load.output_tokens),
        ttft_ms_p95=load.ttft_ms_p95 or DEFAULT_TTFT_MS,
        hours_per_day=load.hours_per_day,
        spot_share=scale.spot,
        savings_plan=scale.savings_plan,
        least_machines=scale.min if "min" in scale.model_fields_set else 1,
        most_machines=scale.max if "max" in scale.model_fields_set else 0,
        adapters=len(manifest.adapters),
        instances=target.instances,
        explore=wishes.explore,
        extrapolate=wishes.extrapolate,
        front=front(manifest),
        server=SERVERS.get(manifest.engine_kind, SERVERS["vllm"]),
    )


def place(manifest: Manifest) -> str:
    """Where the manifest would be served in AWS; a local stack is priced as ECS."""
    if manifest.target.kind == "sagemaker":
        return f"sagemaker {manifest.target.mode or 'realtime'}"
    return "eks" if manifest.target.kind == "eks" else "ecs"


def front(manifest: Manifest) -> Front:
    """What the manifest puts before the machines; two gateways where it cannot say."""
    if manifest.target.kind != "sagemaker":
        return TWO_GATEWAYS
    asked, network = manifest.front, manifest.target.network
    gateway = asked.kind == "gateway"
    own = network.own or (gateway and not network.subnets and not manifest.target.domain)
    managed = asked.kind != "none" and asked.state == "managed"
    vcpus = SIZES[asked.size]
    return Front(
        tasks=asked.tasks_min if gateway else 0,
        vcpus=vcpus,
        memory_gb=2 * vcpus,
        balancers=int(gateway),
        nat_gateways=int(own and network.egress == "nat"),
        endpoints=ENDPOINT_SERVICES * ZONES if own and network.egress == "endpoints" else 0,
        counters=int(managed),
        database_acu=asked.database_min_acu if managed else 0,
        firewalls=int(asked.kind != "none" and asked.waf),
        function_gb=2 * vcpus if asked.kind == "rest" else 0,
    )


def _layout(manifest: Manifest) -> Layout:
    engine, profile = manifest.engine, PROFILES[manifest.engine.profile]
    utilization = engine.gpu_memory_utilization or profile.gpu_memory_utilization
    adapters = len(manifest.adapters)
    cache = _argument(manifest, "--kv-cache-dtype")
    return Layout(
        tensor_parallel=engine.tensor_parallel,
        pipeline_parallel=int(_argument(manifest, "--pipeline-parallel-size") or 1),
        utilization=utilization or UTILIZATION,
        max_sequences=engine.max_sequences or profile.max_sequences or MAX_SEQUENCES,
        step_tokens=engine.max_batched_tokens or profile.max_batched_tokens or STEP_TOKENS,
        cache_dtype="fp8" if cache.startswith("fp8") else "auto",
        eager=bool(engine.eager),
        lora_slots=min(adapters + 1, _LORA_SLOTS) if adapters else 0,
    )


def _argument(manifest: Manifest, name: str) -> str:
    """The value of one of `engine.extra_args`, as `--name value` or `--name=value`."""
    given = manifest.engine.extra_args
    for number, argument in enumerate(given):
        key, equals, value = argument.partition("=")
        if key == name:
            return value if equals else next(iter(given[number + 1 : number + 2]), "")
    return ""


def _quantization(manifest: Manifest) -> str:
    model = manifest.model
    if model.quantization == "none" and model.dtype in ("float16", "float32"):
        return model.dtype
    return model.quantization


def _read(file: Path) -> Mapping[str, Any]:
    try:
        config: Mapping[str, Any] = json.loads(file.read_text("utf-8"))
    except ValueError as error:
        raise UserError(f"{file} is no JSON", why=str(error)) from error
    return config
