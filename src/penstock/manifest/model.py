"""`penstock.yaml` as frozen models: every field, its default and what it means.

The field descriptions are the documentation: the JSON schema, `penstock init` and
`docs/manifest.md` are made from them. Secrets are references (`${env:NAME}`,
`${secret:ARN}`), never values.
"""

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

SHIPPED_MODEL = "embedded"


class Section(BaseModel):
    """Base of every section: immutable, and unknown keys are errors."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)


class Model(Section):
    """Which model is served."""

    id: str = SHIPPED_MODEL
    """`embedded` (the small model in the package), a Hugging Face id, a folder, or an `s3://` URI."""
    revision: str | None = None
    """Branch, tag or commit of a Hugging Face model; none means the hub's default branch."""
    context: int | None = Field(default=None, ge=16)
    """Longest prompt plus answer, tokens; none means what the model's own config says."""
    dtype: Literal["auto", "float32", "bfloat16", "float16"] = "auto"
    """Type of weights and activations."""
    quantization: Literal["none", "fp8", "int8", "awq", "gptq", "nf4"] = "none"
    """How the weights are quantised."""
    served_name: str | None = None
    """Name clients ask for; none means the last part of `id`."""


class Engine(Section):
    """What computes the tokens."""

    kind: Literal["auto", "embedded", "vllm", "openai"] = "auto"
    """`auto` picks `embedded` for the shipped model and vLLM for any other; `openai` is a running server."""
    url: str | None = None
    """Address of a running OpenAI-compatible server (`http://host:port`); needs `kind: openai`."""
    replicas: int = Field(default=1, ge=1, le=64)
    """How many engine processes stand behind the gateway."""
    profile: Literal["balanced", "low-latency", "high-throughput", "long-context"] = "balanced"
    """A set of vLLM defaults; single fields below override it."""
    tensor_parallel: int = Field(default=1, ge=1)
    """GPUs that share one copy of the model."""
    gpu_memory_utilization: float | None = Field(default=None, gt=0, le=1)
    """Share of each GPU's memory vLLM may take, 0 to 1."""
    max_sequences: int | None = Field(default=None, ge=1)
    """Requests computed at the same time; more wait in the engine's queue."""
    max_batched_tokens: int | None = Field(default=None, ge=1)
    """Tokens computed in one engine step."""
    prefix_caching: bool | None = None
    """Reuse the KV cache of prompts that start alike."""
    chunked_prefill: bool | None = None
    """Split long prompts so that running answers do not stall."""
    speculative: dict[str, str | int | float | bool] | None = None
    """vLLM's `--speculative-config`, as a mapping."""
    tool_parser: str = "auto"
    """vLLM's tool-call parser; `auto` picks it by model family, `none` switches tool calls off."""
    eager: bool | None = None
    """Skip compilation: starts sooner, answers slower."""
    extra_args: tuple[str, ...] = ()
    """Further command-line arguments, handed to the engine as they are."""


class Load(Section):
    """The load to plan for."""

    requests_per_minute: float = Field(default=60, gt=0)
    """Requests a minute at the peak."""
    prompt_tokens: int = Field(default=500, ge=1)
    """Tokens of a typical prompt."""
    output_tokens: int = Field(default=200, ge=1)
    """Tokens of a typical answer."""
    ttft_ms_p95: float | None = Field(default=None, gt=0)
    """Time to the first token that 95 % of requests must meet, milliseconds."""


class Target(Section):
    """Where it runs."""

    kind: Literal["local", "sagemaker", "ecs", "eks"] = "local"
    """`local` is this machine."""
    region: str | None = None
    """AWS region; none means the one of your AWS profile."""
    mode: Literal["realtime", "components", "async", "serverless"] | None = None
    """How SageMaker serves the model."""


class Scale(Section):
    """How many copies run."""

    min: int = Field(default=1, ge=0)
    """Fewest copies; 0 scales to zero."""
    max: int = Field(default=1, ge=1)
    """Most copies."""
    queue_per_replica: int = Field(default=8, ge=1)
    """Waiting requests a copy may have before another one is started."""


class Tenant(Section):
    """One customer of the gateway: what it may use, and how much."""

    models: tuple[str, ...] = ("*",)
    """Models and adapters it may ask for; `*` is all."""
    tools: tuple[str, ...] = ()
    """Tools the gateway runs for it."""
    requests_per_second: float = Field(default=50, gt=0)
    """Sustained requests a second."""
    burst: int = Field(default=100, ge=1)
    """Requests that may come at once before the rate applies."""
    requests_per_day: int = Field(default=10_000, ge=1)
    """Requests in one UTC day."""


class Tools(Section):
    """Settings of the built-in tools and bounds of the tool loop."""

    weather_url: str | None = None
    """Base URL of an Open-Meteo compatible weather API; none means the climate table in the package."""
    database: str | None = None
    """Path of an SQLite file with a `products` table; none means the sample catalogue."""
    max_rounds: int = Field(default=5, ge=1, le=50)
    """Rounds of tool calls in one turn."""
    call_timeout_s: float = Field(default=10, gt=0)
    """Longest time one tool call may take, seconds."""
    turn_timeout_s: float = Field(default=120, gt=0)
    """Longest time one turn may take, seconds."""
    max_result_bytes: int = Field(default=16_384, ge=64)
    """Longest tool result the model is shown; more is cut and marked."""


class Gateway(Section):
    """The HTTP server in front of the engines."""

    host: str = "127.0.0.1"
    """Address it listens on."""
    port: int = Field(default=8080, ge=0, le=65535)
    """Port it listens on; 0 picks a free one."""
    max_body_bytes: int = Field(default=4_194_304, ge=1024)
    """Largest request body."""
    max_header_bytes: int = Field(default=32_768, ge=1024)
    """Largest request head."""
    request_timeout_s: float = Field(default=600, gt=0)
    """Longest time from request to last byte, seconds."""
    body_timeout_s: float = Field(default=30, gt=0)
    """Longest time a client may take to send its request, seconds."""


class Manifest(Section):
    """The whole of `penstock.yaml`. The smallest valid file is empty."""

    name: str = Field(default="penstock", pattern=r"^[a-z][a-z0-9-]{0,38}[a-z0-9]$")
    """Name of this stack: lower-case letters, digits and dashes."""
    model: Model = Model()
    """Which model is served."""
    engine: Engine = Engine()
    """What computes the tokens."""
    load: Load = Load()
    """The load to plan for."""
    target: Target = Target()
    """Where it runs."""
    scale: Scale = Scale()
    """How many copies run."""
    adapters: dict[str, str] = Field(default_factory=dict)
    """LoRA adapters: name -> folder (or `s3://` URI of a .tar.gz)."""
    tenants: dict[str, Tenant] = Field(default_factory=dict)
    """Customers by name; none means one tenant `default` that may use everything."""
    tools: Tools = Tools()
    """Built-in tools and the bounds of the tool loop."""
    gateway: Gateway = Gateway()
    """The HTTP server in front of the engines."""
