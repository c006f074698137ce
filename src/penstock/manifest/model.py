"""`penstock.yaml` as frozen models: every field, its default and what it means.

The field descriptions are the documentation: the JSON schema, `penstock init` and
`docs/manifest.md` are made from them. Secrets are references (`${env:NAME}`,
`${secret:ARN}`), never values.
"""

from typing import Literal

from pydantic import Field

from penstock.manifest.archive import Audit, Cache
from penstock.manifest.batches import Batches
from penstock.manifest.front import Front
from penstock.manifest.identity import Keys
from penstock.manifest.references import Secret
from penstock.manifest.routing import Breaker, OtherModel, Way
from penstock.manifest.section import Name, Section
from penstock.manifest.target import ResourceName, Target
from penstock.manifest.tenancy import Limit, Price, Queue, Registry, Tenant

SHIPPED_MODEL = "embedded"
"""`model.id` of the small model in the package."""
SHIPPED_NAME = "penstock-tiny"
"""The name under which the shipped model is served."""
EngineKind = Literal["embedded", "vllm", "openai", "sagemaker", "lmi", "tgi", "triton"]
"""The engines; the last three are containers of SageMaker."""
BUILT_IN_TOOLS = ("get_current_weather", "calculate_math", "search_database")
"""Tools that every gateway has."""


class Model(Section):
    """Which model is served."""

    id: str = Field(default=SHIPPED_MODEL, min_length=1, examples=["Qwen/Qwen3-0.6B"])
    """`embedded` (the small model in the package), a Hugging Face id, a folder, or `s3://...`."""
    revision: str | None = Field(default=None, examples=["main"])
    """Branch, tag or commit of a Hugging Face model; none means the hub's default branch."""
    context: int | None = Field(default=None, ge=16, examples=[8192])
    """Longest prompt plus answer, tokens; none means what the model's own config says."""
    dtype: Literal["auto", "float32", "bfloat16", "float16"] = "auto"
    """Type of weights and activations."""
    quantization: Literal["none", "fp8", "int8", "awq", "gptq", "nf4"] = "none"
    """How the weights are quantised."""
    served_name: Name | None = Field(default=None, examples=["support-bot"])
    """Name clients ask for; none means the last part of `id`."""
    tools_format: Literal["auto", "engine", "hermes", "llama3_json", "mistral", "pythonic"] = (
        "auto"
    )
    """How calls stand in the text of an engine that does not parse them (`engine.kind: openai`);
    `auto` goes by the model's family, `engine` leaves it to the engine."""
    structured_outputs: Literal["verify", "engine"] = "verify"
    """Whether answers to a `response_format` are checked here, and asked for once more if they do
    not fit, or left to the engine."""


class Engine(Section):
    """What computes the tokens."""

    kind: Literal["auto", "embedded", "vllm", "openai", "sagemaker", "lmi", "tgi", "triton"] = (
        "auto"
    )
    """`auto`: `embedded` for the shipped model, else vLLM; `openai`: a server that runs;
    `sagemaker`: an endpoint that runs; `lmi`, `tgi` (in maintenance since 2025-12) and `triton`:
    containers of SageMaker."""
    url: str | None = Field(default=None, examples=["http://127.0.0.1:11434"])
    """Address of a running OpenAI-compatible server (`http://host:port`); needs `kind: openai`."""
    api_key: Secret | None = Field(default=None, examples=["${env:ENGINE_API_KEY}"])
    """Key of the running server, as a reference; needs `kind: openai`."""
    endpoint: ResourceName | None = Field(default=None, examples=["support-bot"])
    """Name of the SageMaker endpoint in `target.region`; needs `kind: sagemaker`."""
    component: ResourceName | None = Field(default=None, examples=["support-bot-base"])
    """Inference component on that endpoint; none means that it serves one model itself."""
    replicas: int = Field(default=1, ge=1, le=64)
    """How many engine processes stand behind the gateway."""
    profile: Literal["balanced", "low-latency", "high-throughput", "long-context"] = "balanced"
    """A set of vLLM defaults; single fields below override it."""
    tensor_parallel: int = Field(default=1, ge=1)
    """GPUs that share one copy of the model."""
    gpu_memory_utilization: float | None = Field(default=None, gt=0, le=1, examples=[0.9])
    """Share of each GPU's memory vLLM may take, 0 to 1."""
    max_sequences: int | None = Field(default=None, ge=1, examples=[32])
    """Requests computed at the same time; more wait in the engine's queue."""
    max_batched_tokens: int | None = Field(default=None, ge=1, examples=[8192])
    """Tokens computed in one engine step."""
    prefix_caching: bool | None = Field(default=None, examples=[True])
    """Reuse the KV cache of prompts that start alike."""
    chunked_prefill: bool | None = Field(default=None, examples=[True])
    """Split long prompts so that running answers do not stall."""
    speculative: dict[str, str | int | float | bool] | None = Field(
        default=None, examples=[{"method": "ngram", "num_speculative_tokens": 4}]
    )
    """vLLM's `--speculative-config`, as a mapping."""
    tool_parser: str = Field(default="auto", min_length=1, examples=["hermes"])
    """vLLM's tool-call parser; `auto` picks it by model family, `none` switches tool calls off."""
    eager: bool | None = Field(default=None, examples=[True])
    """Skip compilation: starts sooner, answers slower."""
    extra_args: tuple[str, ...] = Field(default=(), examples=[["--seed", "7"]])
    """Further command-line arguments, handed to the engine as they are."""


class Load(Section):
    """The load to plan for."""

    requests_per_minute: float = Field(default=60, gt=0)
    """Requests a minute at the peak."""
    prompt_tokens: int = Field(default=500, ge=1)
    """Tokens of a typical prompt."""
    output_tokens: int = Field(default=200, ge=1)
    """Tokens of a typical answer."""
    ttft_ms_p95: float | None = Field(default=None, gt=0, examples=[500])
    """Time to the first token that 95 % of requests must meet, milliseconds."""
    hours_per_day: float = Field(default=24, gt=0, le=24)
    """Hours of the day that the load lasts; what can stop meanwhile is priced for these."""


class Wake(Section):
    """How the gateway holds requests for a model that is scaled to zero, while it wakes."""

    timeout_s: float = Field(default=600, ge=0)
    """How long a request is held at most, seconds; 0 holds none: it is refused at once."""
    look_every_s: float = Field(default=10, gt=0)
    """How often one of the requests is sent to see whether the model is awake, seconds."""
    max_held: int = Field(default=1000, ge=1)
    """Requests held at the same time for one model, in each gateway process; more are refused."""
    heartbeat_s: float | None = Field(default=None, gt=0, examples=[15])
    """A streamed request that is held gets a comment so often, seconds, so that nobody between
    takes the connection for dead; its status is then sent before it is known whether the model
    wakes. None means never."""
    by: Literal["refusal", "copies"] = "refusal"
    """What wakes the model: `refusal`, the refused request itself, by its alarm; `copies`, one
    call that asks for a copy, which is faster and needs a permission."""


class Scale(Section):
    """How many copies run."""

    min: int = Field(default=1, ge=0)
    """Fewest copies; 0 scales to zero."""
    max: int = Field(default=1, ge=1)
    """Most copies."""
    queue_per_replica: int = Field(default=8, ge=1)
    """Waiting requests a copy may have before another one is started."""
    wake: Wake = Field(default=Wake(), examples=[{"timeout_s": 300}])
    """How requests are held while a model that is scaled to zero wakes."""
    spot: float = Field(default=0, ge=0, le=1, examples=[0.8])
    """Share of the machines that run on spot capacity, 0 to 1; on ECS and EKS."""
    savings_plan: float = Field(default=0, ge=0, lt=1, examples=[0.3])
    """Discount of your savings plan on the machines' on-demand price, 0 to 1."""


class ToolQuery(Section):
    """One query of a database, as a tool."""

    sql: str = Field(
        default="",
        examples=["SELECT id, total FROM orders WHERE org = :tenant AND state = :state"],
    )
    """A reading query; the model fills `:NAME`, and `:tenant` is the tenant's name."""
    about: str = Field(default="", examples=["Orders of the customer in a given state"])
    """What the model is told that it does."""
    parameters: dict[str, Literal["string", "integer", "number", "boolean"]] = Field(
        default_factory=dict, examples=[{"state": "string"}]
    )
    """Type of each `:NAME`: string, integer, number or boolean."""


class ToolSource(Section):
    """Where tools come from; exactly one of the first six is given."""

    mcp: str | None = Field(default=None, examples=["https://mcp.example.com/sse"])
    """Address of an MCP server: streamable HTTP, or SSE where it ends in `/sse`."""
    command: tuple[str, ...] = Field(default=(), examples=[["crm-mcp", "--read-only"]])
    """Command of an MCP server that speaks over stdio."""
    openapi: str | None = Field(default=None, examples=["./billing.yaml"])
    """Path of an OpenAPI 3 document; its operations become tools."""
    database: str | None = Field(default=None, examples=["./orders.db"])
    """Path of an SQLite file; needs `queries`."""
    database_url: Secret | None = Field(default=None, examples=["${env:ORDERS_URL}"])
    """Reference to the URL of a PostgreSQL database; needs `queries`."""
    python: str | None = Field(default=None, examples=["acme"])
    """Entry point of the group `penstock.tools` of an installed package."""
    only: tuple[str, ...] = Field(default=(), examples=[["find_customer"]])
    """Tools of an MCP server that are used; none means all."""
    resources: bool = False
    """Whether resources of an MCP server can be listed and read: two more tools,
    `list_resources` and `read_resource`."""
    operations: tuple[str, ...] = Field(default=(), examples=[["getInvoice"]])
    """Operations (`operationId`) that become tools; none means all."""
    url: str | None = Field(default=None, examples=["https://billing.example.com/v1"])
    """Address of the API; none means the first server in the document."""
    queries: dict[Name, ToolQuery] = Field(
        default_factory=dict, examples=[{"org-a": {"sql": "SELECT 1 AS one"}}]
    )
    """Queries that become tools."""
    secret: Secret | None = Field(default=None, examples=["${env:BILLING_KEY}"])
    """Reference to the credential; a tenant may have its own in `tool_secrets`."""
    header: str = Field(default="Authorization", min_length=1)
    """Header that carries the credential; `Authorization` gets `Bearer` before it."""
    variable: str = Field(default="API_KEY", pattern=r"^[A-Za-z_][A-Za-z0-9_]*$")
    """Environment variable in which the process of `command` gets the credential."""
    arguments: dict[str, str] = Field(default_factory=dict, examples=[{"org": "{tenant}"}])
    """Arguments set for every call, hidden from the model; `{tenant}` is the tenant's name."""
    isolation: str | None = Field(default=None, examples=["org"])
    """Key that, where results have it, must hold the tenant's argument so called, or its name."""
    approve: tuple[str, ...] = Field(default=(), examples=[["deleteInvoice"]])
    """Tools whose calls the user must approve; `*` is all."""
    hosts: tuple[str, ...] = Field(default=(), examples=[["*.example.com"]])
    """Further hosts that it may connect to."""
    private: bool = False
    """Whether it may connect to addresses off the public internet."""


class BuiltinTools(Section):
    """Settings of the built-in tools."""

    weather_url: str | None = Field(default=None, examples=["https://api.open-meteo.com"])
    """Base URL of an Open-Meteo compatible API; none means the climate table in the package."""
    database: str | None = Field(default=None, examples=["./products.db"])
    """Path of an SQLite file with a `products` table; none means the sample catalogue."""


class Turns(Section):
    """Bounds of a request in which the gateway runs tools."""

    max_rounds: int = Field(default=5, ge=1, le=50)
    """Rounds of tool calls in one turn."""
    call_timeout_s: float = Field(default=10, gt=0)
    """Longest time one tool call may take, seconds."""
    turn_timeout_s: float = Field(default=120, gt=0)
    """Longest time one turn may take, seconds."""
    max_result_bytes: int = Field(default=16_384, ge=64)
    """Longest tool result the model is shown, bytes; more is cut and marked."""
    approval_timeout_s: float = Field(default=900, gt=0)
    """How long the answer to an approval is waited for, seconds."""
    key: Secret | None = Field(default=None, examples=["${env:TURNS_KEY}"])
    """Reference to the key (32 bytes or more) that signs what clients carry between turns; none
    means a random one, which no other gateway knows, nor this one after a restart."""


class Gateway(Section):
    """The HTTP server in front of the engines."""

    host: str = Field(default="127.0.0.1", min_length=1)
    """Address it listens on."""
    port: int = Field(default=8080, ge=0, le=65535)
    """Port it listens on; 0 picks a free one."""
    metrics: Literal["auto", "open", "admin"] = "auto"
    """Who may read `/metrics`, which names all tenants: everybody, or who has an admin key; `auto`
    is everybody where only this machine is listened to."""
    max_body_bytes: int = Field(default=4_194_304, ge=1024)
    """Largest request body, bytes."""
    max_header_bytes: int = Field(default=32_768, ge=1024)
    """Largest request head, bytes."""
    request_timeout_s: float = Field(default=600, gt=0)
    """Longest time from request to last byte, seconds."""
    body_timeout_s: float = Field(default=30, gt=0)
    """Longest time a client may take to send its request, seconds."""


class Tracing(Section):
    """Spans of requests, by OpenTelemetry; needs `pip install 'penstock[tracing]'`."""

    endpoint: str | None = Field(default=None, examples=["http://127.0.0.1:4318"])
    """Base address of an OTLP/HTTP receiver; none means where OpenTelemetry's environment
    variables say, and without those nothing is traced."""
    share: float = Field(default=1.0, ge=0, le=1, examples=[0.1])
    """Share of requests that are traced, 0 to 1, where the caller has not decided."""


class Manifest(Section):
    """The whole of `penstock.yaml`. The smallest valid file is empty."""

    name: str = Field(
        default="penstock", pattern=r"^[a-z]([a-z0-9-]{0,38}[a-z0-9])?$", examples=["support-bot"]
    )
    """Name of this stack: lower-case letters, digits and dashes, a letter first, 40 at most."""
    model: Model = Field(default=Model(), examples=[{"id": "Qwen/Qwen3-0.6B"}])
    """Which model is served."""
    engine: Engine = Field(default=Engine(), examples=[{"kind": "vllm"}])
    """What computes the tokens."""
    load: Load = Field(default=Load(), examples=[{"requests_per_minute": 300}])
    """The load to plan for."""
    target: Target = Field(default=Target(), examples=[{"kind": "local"}])
    """Where it runs."""
    front: Front = Field(default=Front(), examples=[{"kind": "gateway"}])
    """What clients speak to, before the endpoint; on `target.kind: sagemaker`."""
    ui: Literal["none", "open-webui"] = "none"
    """Chat in the browser; it needs `front.kind: gateway`."""
    scale: Scale = Field(default=Scale(), examples=[{"min": 1, "max": 4}])
    """How many copies run."""
    adapters: dict[Name, str] = Field(
        default_factory=dict, examples=[{"org-a": "./adapters/org-a"}]
    )
    """LoRA adapters: name -> folder (or `s3://` URI of a .tar.gz)."""
    models: dict[Name, OtherModel] = Field(
        default_factory=dict, examples=[{"org-a": {"urls": ["http://10.0.0.7:8000"]}}]
    )
    """Further models by name, at servers that already run."""
    routes: dict[str, Way] = Field(
        default_factory=dict, examples=[{"org-a": {"choose": "prefix"}}]
    )
    """How requests reach an engine, by model or adapter; or by a name of its own, which stands for
    others by its `tiers` or its `split`."""
    breaker: Breaker = Field(default=Breaker(), examples=[{"failures": 5}])
    """When an engine that fails is left alone."""
    tenants: dict[Name, Tenant] = Field(
        default_factory=dict, examples=[{"org-a": {"models": ["*"], "tools": ["calculate_math"]}}]
    )
    """Customers by name; none means one tenant `default` that may use everything."""
    prices: dict[str, Price] = Field(
        default_factory=dict,
        examples=[{"org-a": {"prompt": 0.5, "completion": 1.5}}],
    )
    """Prices by model or adapter; an adapter that is not listed costs what its model does, a model
    nothing."""
    limits: dict[str, Limit] = Field(
        default_factory=dict, examples=[{"org-a": {"concurrent_requests": 64}}]
    )
    """Limits by model or adapter, for all tenants together."""
    registry: Registry = Field(default=Registry(), examples=[{"url": "${env:DATABASE_URL}"}])
    """Where tenants, keys, budgets and usage are kept."""
    cache: Cache = Field(default=Cache(), examples=[{"store": "memory"}])
    """Answers that are kept, and given again to the same question of the same tenant."""
    keys: Keys = Field(default=Keys(), examples=[{"aws": {"prefix": "penstock/tenants/"}}])
    """Where keys come from beside the registry."""
    audit: Audit = Field(default=Audit(), examples=[{"to": "./audit"}])
    """Who asked what, when: a line a request, which nobody can alter unseen."""
    batches: Batches = Field(default=Batches(), examples=[{"to": "s3://my-bucket/files"}])
    """Files of requests that can wait, answered while engines have nothing better to do."""
    tools: dict[Name, ToolSource] = Field(
        default_factory=dict, examples=[{"org-a": {"mcp": "https://mcp.example.com/sse"}}]
    )
    """Sources of tools by name, beside the built-in ones."""
    builtin_tools: BuiltinTools = Field(
        default=BuiltinTools(), examples=[{"database": "./products.db"}]
    )
    """Settings of the built-in tools."""
    queue: Queue = Field(default=Queue(), examples=[{"max_running": 32}])
    """The fair queue between tenants, for when engines are full."""
    turns: Turns = Field(default=Turns(), examples=[{"max_rounds": 5}])
    """Bounds of a request in which the gateway runs tools."""
    gateway: Gateway = Field(default=Gateway(), examples=[{"port": 8080}])
    """The HTTP server in front of the engines."""
    tracing: Tracing = Field(default=Tracing(), examples=[{"endpoint": "http://127.0.0.1:4318"}])
    """Spans of requests, by OpenTelemetry."""

    @property
    def model_names(self) -> tuple[str, ...]:
        """Every model and adapter."""
        return tuple(dict.fromkeys((self.served_model, *self.adapters, *self.models)))

    @property
    def names(self) -> tuple[str, ...]:
        """Every name that clients may ask for."""
        return tuple(dict.fromkeys((*self.model_names, *self.routes)))

    @property
    def engine_names(self) -> tuple[str, ...]:
        """The engines of the model itself."""
        many = self.engine.replicas
        return tuple(f"engine-{n}" for n in range(1, many + 1)) if many > 1 else ("engine",)

    def engines_of(self, name: str) -> tuple[str, ...]:
        """Return the engines of a model or adapter; a name that stands for others has none.

        A running server may serve a model of any name.
        """
        if name in self.models:
            return self.models[name].engine_names(name)
        foreign = self.engine_kind == "openai" and not self.model.served_name
        own = foreign or name in (self.served_model, *self.adapters)
        return self.engine_names if own else ()

    @property
    def engine_kind(self) -> EngineKind:
        """The engine that `engine.kind` means, with `auto` decided; in AWS that is vLLM."""
        if self.engine.kind != "auto":
            return self.engine.kind
        local = self.target.kind == "local"
        return "embedded" if local and self.model.id == SHIPPED_MODEL else "vllm"

    @property
    def served_model(self) -> str:
        """The name that clients ask for."""
        if self.model.served_name:
            return self.model.served_name
        if self.model.id == SHIPPED_MODEL:
            return self.engine.component or self.engine.endpoint or SHIPPED_NAME
        last = self.model.id.rstrip("/").rpartition("/")[2]
        return last.removesuffix(".tar.gz") or self.name

    @property
    def runs_elsewhere(self) -> bool:
        """Whether the model's engine runs already: nothing is started for it."""
        return self.engine_kind in ("openai", "sagemaker")
