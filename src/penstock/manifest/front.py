"""How clients reach what runs in AWS: the `front` section of `penstock.yaml`."""

from typing import Annotated, Literal

from pydantic import Field

from penstock.manifest.section import Section

OPEN_WEBUI = "ghcr.io/open-webui/open-webui:v0.12.4"
"""The image of Open WebUI that is mirrored into the deployment's own repository."""
Cidr = Annotated[str, Field(pattern=r"^[0-9]{1,3}(\.[0-9]{1,3}){3}/[0-9]{1,2}$")]
"""A block of IPv4 addresses."""


class Front(Section):
    """What clients speak to, before the endpoint; on `target.kind: sagemaker`."""

    kind: Literal["none", "gateway", "rest"] = "none"
    """`none`: SageMaker's own OpenAI route with tokens of `penstock token`; `gateway`: Penstock's
    gateway on Fargate behind a load balancer; `rest`: the gateway in a Lambda function behind a
    REST API with API keys and usage plans."""
    domain: str | None = Field(
        default=None,
        pattern=r"^([a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?\.)+[a-z]{2,63}$",
        examples=["chat.example.com"],
    )
    """Name under which the gateway is reached; its certificate is for that name."""
    zone: str | None = Field(
        default=None, pattern=r"^Z[A-Z0-9]{1,31}$", examples=["Z0123456789ABCDEFGHIJ"]
    )
    """Hosted zone of Route 53 that `domain` lies in: certificate and address are made there."""
    certificate: str | None = Field(
        default=None,
        pattern=r"^arn:aws[a-z-]*:acm:[a-z0-9-]+:[0-9]{12}:certificate/[a-f0-9-]+$",
        examples=["arn:aws:acm:eu-west-1:123456789012:certificate/1234abcd-12ab-34cd-56ef-123456"],
    )
    """Certificate of ACM for `domain`; none means that one is made in `zone`."""
    plain_http: bool = False
    """Serve HTTP without a certificate; only where `internal` is set."""
    internal: bool = False
    """Whether the load balancer is reached from inside the network alone."""
    allow: tuple[Cidr, ...] = Field(default=("0.0.0.0/0",), examples=[["203.0.113.0/24"]])
    """Addresses that may connect to the load balancer."""
    tasks_min: int = Field(default=1, ge=1, le=100)
    """Fewest gateways."""
    tasks_max: int = Field(default=1, ge=1, le=100)
    """Most gateways; more are started when the processors of those there are are busy."""
    size: Literal["small", "medium", "large", "xlarge"] = "medium"
    """Of one gateway: 0.5, 1, 2 or 4 virtual CPUs, with twice as many GiB of memory."""
    state: Literal["ephemeral", "managed", "given"] = "ephemeral"
    """Where keys, budgets and usage are kept: `ephemeral` in the one task, gone with it; `managed`
    in an Aurora PostgreSQL and a Valkey that are made; `given` in those of `registry`."""
    database_min_acu: float = Field(default=0.5, ge=0, le=128, multiple_of=0.5)
    """Least capacity of the managed database, in Aurora's units; 0 lets it pause when idle."""
    database_max_acu: float = Field(default=4, ge=1, le=128, multiple_of=0.5)
    """Most capacity of the managed database, in Aurora's units."""
    waf: bool = False
    """Whether a web application firewall stands before it: AWS's managed rules, and `waf_rate`."""
    waf_rate: int = Field(default=3000, ge=10, le=2_000_000_000)
    """Requests that one address may make in five minutes, before the firewall blocks it."""
    image: str | None = Field(
        default=None,
        min_length=1,
        examples=["123456789012.dkr.ecr.eu-west-1.amazonaws.com/gateway:1"],
    )
    """Image of the gateway in ECR; none means that one is built in the account."""
    ui_image: str = Field(default=OPEN_WEBUI, min_length=1)
    """Image of Open WebUI; it is mirrored into the account."""
