"""The sections of `penstock.yaml` that say where keys come from, beside the registry."""

from pydantic import Field

from penstock.manifest.section import Name, Section

ALGORITHMS = (
    "RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA",
)  # fmt: skip
"""How a token may be signed: by a private key, never by a shared one."""


class AwsKeys(Section):
    """Keys from AWS Secrets Manager, one secret a tenant; needs `penstock[aws]`."""

    prefix: str | None = Field(default=None, min_length=1, examples=["penstock/tenants/"])
    """What the secrets' names begin with, before the tenant's name; none means that AWS is not
    asked."""
    region: str | None = Field(default=None, examples=["eu-west-1"])
    """AWS region; none means the one of your AWS profile."""
    endpoint: str | None = Field(default=None, examples=["https://secrets.example.com"])
    """Address of another endpoint of the service."""
    refresh_s: float = Field(default=60, ge=1)
    """How often it is asked for changes, seconds."""
    overlap_s: float = Field(default=300, ge=0)
    """How long a rotated secret's former keys still open, seconds."""


class Subject(Section):
    """Limits and budgets of each subject whose tokens are taken; none is no limit."""

    requests_per_second: float | None = Field(default=None, gt=0, examples=[5])
    """Sustained requests a second."""
    burst: int | None = Field(default=None, ge=1, examples=[10])
    """Requests that may come at once; none means two seconds' worth."""
    requests_per_day: int | None = Field(default=None, ge=1, examples=[1000])
    """Requests in one UTC day."""
    tokens_per_minute: int | None = Field(default=None, ge=1, examples=[20_000])
    """Sustained tokens a minute, prompt and answer together."""
    concurrent_requests: int | None = Field(default=None, ge=1, examples=[4])
    """Requests at the same time, in each gateway process."""
    max_tokens: int | None = Field(default=None, ge=1, examples=[2048])
    """Longest answer one request may ask for, tokens."""
    usd_per_day: float | None = Field(default=None, ge=0, examples=[1])
    """Dollars in one UTC day."""
    usd_per_month: float | None = Field(default=None, ge=0, examples=[20])
    """Dollars in one UTC month."""
    tokens_per_day: int | None = Field(default=None, ge=0, examples=[100_000])
    """Tokens in one UTC day."""
    tokens_per_month: int | None = Field(default=None, ge=0, examples=[2_000_000])
    """Tokens in one UTC month."""


class Oidc(Section):
    """Tokens of an OpenID provider in place of keys; needs `penstock[oidc]`."""

    issuer: str | None = Field(default=None, examples=["https://login.example.com/"])
    """Who must have issued a token (`iss`), as it stands in tokens; none means that no tokens are
    taken."""
    audience: tuple[str, ...] = Field(default=(), examples=[["penstock"]])
    """For whom a token must be meant (`aud`): one of these; needed where there is an issuer."""
    jwks_url: str | None = Field(default=None, examples=["https://login.example.com/jwks.json"])
    """Address of the issuer's public keys; none means that its discovery document names it."""
    algorithms: tuple[str, ...] = Field(default=("RS256", "ES256"))
    """How tokens may be signed: RS, PS or ES with 256, 384 or 512, or EdDSA."""
    tenant_claim: str = Field(default="tenant", min_length=1)
    """Claim that says whose tenant's a token is."""
    tenants: dict[str, Name] = Field(default_factory=dict, examples=[{"8f3e-11": "org-a"}])
    """Tenants by the value of `tenant_claim`; none means that the value is the tenant's name."""
    models_claim: str | None = Field(default=None, min_length=1, examples=["models"])
    """Claim with the models a token opens, a list or words; none means all of its tenant."""
    tools_claim: str | None = Field(default=None, min_length=1, examples=["tools"])
    """Claim with the tools a token opens; none means all of its tenant."""
    leeway_s: float = Field(default=30, ge=0, le=300)
    """How far clocks may differ, seconds."""
    per_subject: Subject = Field(default=Subject(), examples=[{"requests_per_second": 5}])
    """Limits and budgets of each subject (`sub`), beside those of its tenant."""


class Keys(Section):
    """Keys from elsewhere, beside those that the registry keeps."""

    aws: AwsKeys = Field(default=AwsKeys(), examples=[{"prefix": "penstock/tenants/"}])
    """AWS Secrets Manager, where there is a `prefix`."""
    oidc: Oidc = Field(default=Oidc(), examples=[{"issuer": "https://login.example.com/"}])
    """An OpenID provider, where there is an `issuer`."""
