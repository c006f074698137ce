"""The sections of `penstock.yaml` that are about customers: what each may use, who is first."""

from typing import Literal

from pydantic import Field

from penstock.manifest.references import Secret
from penstock.manifest.section import Name, Section


class Tenant(Section):
    """One customer of the gateway: what it may use, and how much."""

    models: tuple[str, ...] = Field(default=("*",), examples=[["org-a"]])
    """Models and adapters it may ask for; `*` is all."""
    tools: tuple[str, ...] = Field(default=(), examples=[["search_database"]])
    """Tools the gateway runs for it: built-in ones, a source (`billing`), or one of a source
    (`billing.getInvoice`)."""
    tool_secrets: dict[Name, Secret] = Field(
        default_factory=dict, examples=[{"billing": "${env:ORG_A_BILLING_KEY}"}]
    )
    """Its own credentials, by source; references."""
    tool_arguments: dict[Name, dict[str, str]] = Field(
        default_factory=dict, examples=[{"billing": {"org": "4711"}}]
    )
    """Arguments set for its calls, by source; hidden from the model."""
    requests_per_second: float = Field(default=50, gt=0)
    """Sustained requests a second."""
    burst: int = Field(default=100, ge=1)
    """Requests that may come at once before the rate applies."""
    requests_per_day: int = Field(default=10_000, ge=1)
    """Requests in one UTC day."""
    tokens_per_minute: int | None = Field(default=None, ge=1, examples=[100_000])
    """Sustained tokens a minute, prompt and answer together; none is no limit."""
    concurrent_requests: int | None = Field(default=None, ge=1, examples=[20])
    """Requests at the same time; none is no limit."""
    max_tokens: int | None = Field(default=None, ge=1, examples=[2048])
    """Longest answer one request may ask for, tokens; none is no limit."""
    usd_per_day: float | None = Field(default=None, ge=0, examples=[10])
    """Dollars in one UTC day, at the prices of `prices`; none is no bound."""
    usd_per_month: float | None = Field(default=None, ge=0, examples=[200])
    """Dollars in one UTC month; none is no bound."""
    tokens_per_day: int | None = Field(default=None, ge=0, examples=[1_000_000])
    """Tokens in one UTC day, prompt and answer together; none is no bound."""
    tokens_per_month: int | None = Field(default=None, ge=0, examples=[20_000_000])
    """Tokens in one UTC month; none is no bound."""
    alarm_at: float = Field(default=0.8, gt=0, le=1)
    """Share of a budget at which the log warns, 0 to 1."""
    weight: float = Field(default=1, ge=0.01, le=100)
    """Its share of full engines, against the weights of other tenants of its priority."""
    priority: Literal["low", "normal", "high"] = "normal"
    """Whose requests come first when engines are full; lower ones are never left out for long."""


class Price(Section):
    """What a model's tokens cost a tenant, dollars a million."""

    prompt: float = Field(default=0, ge=0, examples=[0.5])
    """Tokens of the prompt."""
    cached: float | None = Field(default=None, ge=0, examples=[0.05])
    """Prompt tokens that the engine had in its cache; none means as other prompt tokens."""
    completion: float = Field(default=0, ge=0, examples=[1.5])
    """Tokens of the answer."""
    from_cache: float = Field(default=0, ge=0, le=1, examples=[0.1])
    """Share of its price that an answer from the response cache costs, 0 to 1."""
    usd_per_hour: float | None = Field(default=None, gt=0, examples=[1.21])
    """Dollars an hour of one engine that serves it; what tokens do not pay is charged as idle."""
    tokens_per_second: float | None = Field(default=None, gt=0, examples=[2400])
    """Tokens, prompt and answer together, that one engine computes a second under full load. With
    `usd_per_hour` and without prices of tokens, each costs their share of the hour."""
    plan: str | None = Field(default=None, examples=["plan.json"])
    """File with the answer of `penstock plan --json`: `usd_per_hour` and `tokens_per_second` are
    its cheapest option's, where they are not given."""


class Limit(Section):
    """What all tenants together may ask of one model; none is no limit."""

    requests_per_second: float | None = Field(default=None, gt=0, examples=[100])
    """Sustained requests a second."""
    burst: int | None = Field(default=None, ge=1, examples=[200])
    """Requests that may come at once; none means two seconds' worth."""
    requests_per_day: int | None = Field(default=None, ge=1, examples=[1_000_000])
    """Requests in one UTC day."""
    tokens_per_minute: int | None = Field(default=None, ge=1, examples=[1_000_000])
    """Sustained tokens a minute, prompt and answer together."""
    concurrent_requests: int | None = Field(default=None, ge=1, examples=[64])
    """Requests at the same time."""


class Registry(Section):
    """Where tenants, keys, budgets and usage are kept."""

    url: Secret | None = Field(default=None, examples=["${env:DATABASE_URL}"])
    """Reference to the URL of a PostgreSQL database; none means SQLite in `.penstock/`."""
    counters: Secret | None = Field(default=None, examples=["${env:VALKEY_URL}"])
    """Reference to the URL of a Valkey or Redis server (`redis://host:6379`) that counts limits
    for all gateways together; none means that each gateway counts for itself."""
    own_process: bool = False
    """Whether a process beside the gateway's writes the ledger's entries, and the audit's lines
    where they are made of them. It spares the gateway's core, where there is another."""


class Queue(Section):
    """The fair queue between tenants, for when engines are full; without a bound there is none."""

    max_running: int | None = Field(default=None, ge=1, examples=[32])
    """Requests that run at one engine; more wait their turn in the gateway. None means
    `engine.max_sequences`, and where that is none too, requests queue in the engines."""
    max_wait_s: float = Field(default=30, gt=0)
    """Longest wait, seconds; then 503."""
    max_waiting: int = Field(default=1000, ge=1)
    """Requests that may wait, of all tenants together; beyond it 503."""
    max_waiting_per_tenant: int = Field(default=200, ge=1)
    """Requests of one tenant that may wait; beyond it 429."""
