"""Where a stack runs: the `target` section of `penstock.yaml`."""

from typing import Annotated, Literal

from pydantic import Field

from penstock.manifest.references import Secret
from penstock.manifest.section import Section

_ARN = r"^arn:aws[a-z-]*:"
RoleArn = Annotated[str, Field(pattern=_ARN + r"iam::[0-9]{12}:role/[A-Za-z0-9+=,.@_/-]+$")]
"""The ARN of an IAM role."""
OWN_KEY = "own"
"""`target.kms_key` where a key is to be made."""
KeyArn = Annotated[
    str, Field(pattern=r"^(own|arn:aws[a-z-]*:kms:[a-z0-9-]+:[0-9]{12}:key/[A-Za-z0-9-]+)$")
]
"""The ARN of a KMS key, or `own`."""
ResourceName = Annotated[
    str, Field(max_length=63, pattern=r"^[A-Za-z0-9]([A-Za-z0-9-]*[A-Za-z0-9])?$")
]
"""The name of something in SageMaker: letters, digits and dashes, 63 at most."""


class Network(Section):
    """The network that SageMaker's containers and the front stand in."""

    subnets: tuple[str, ...] = Field(default=(), examples=[["subnet-0a1b2c3d", "subnet-4e5f6a7b"]])
    """Existing subnets; none means SageMaker's own network, or that of the domain."""
    security_groups: tuple[str, ...] = Field(default=(), examples=[["sg-0a1b2c3d"]])
    """Security groups of SageMaker's containers; they go with subnets."""
    vpc: str | None = Field(default=None, pattern=r"^vpc-[a-z0-9]+$", examples=["vpc-0a1b2c3d"])
    """Network that the subnets lie in; a front needs to know."""
    public_subnets: tuple[str, ...] = Field(
        default=(), examples=[["subnet-1a2b3c4d", "subnet-5e6f7a8b"]]
    )
    """Existing subnets for a load balancer that is reached from the internet."""
    own: bool = False
    """Whether a network is made, with private subnets in two zones, and all stands in there. A
    front makes itself one where nothing else is given."""
    egress: Literal["nat", "endpoints"] = "nat"
    """How the private subnets of a network that is made reach out: `nat` to the internet;
    `endpoints` to the services of AWS alone."""
    cidr: str = Field(default="10.78.0.0/16", pattern=r"^[0-9]{1,3}(\.[0-9]{1,3}){3}/(1[6-9]|20)$")
    """Addresses of a network that is made."""


class Update(Section):
    """How a new model or setting takes the place of the former."""

    policy: Literal["all_at_once", "canary", "linear", "rolling"] = "all_at_once"
    """`all_at_once`, `canary` and `linear` bring up a second fleet first; `rolling` changes the
    machines step by step. Each goes back by itself when the alarm on errors goes off."""
    percent: int = Field(default=10, ge=5, le=50)
    """Share of the machines in the first step (`canary`) or in each (`linear`, `rolling`)."""
    wait_s: int = Field(default=300, ge=0, le=3600)
    """How long errors are watched for after each step, seconds."""
    alarms: tuple[str, ...] = Field(default=(), max_length=9, examples=[["checkout-errors"]])
    """Alarms of CloudWatch, by name, that undo it too."""


class Target(Section):
    """Where it runs."""

    kind: Literal["local", "sagemaker", "ecs", "eks"] = "local"
    """`local` is this machine."""
    region: str | None = Field(default=None, examples=["eu-west-1"])
    """AWS region; none means the one of your AWS profile."""
    mode: Literal["realtime", "components", "async", "serverless"] | None = Field(
        default=None, examples=["components"]
    )
    """How SageMaker serves the model; none means `realtime`."""
    instances: tuple[str, ...] = Field(default=(), examples=[["g6e.xlarge", "g5.2xlarge"]])
    """Instance types that may be used; none means any."""
    domain: str | None = Field(
        default=None, pattern=r"^d-[a-z0-9]{1,61}$", examples=["d-abcdef123456"]
    )
    """SageMaker domain whose network and execution role are used; nothing of it is altered."""
    role: RoleArn | None = Field(
        default=None, examples=["arn:aws:iam::123456789012:role/sagemaker-execution"]
    )
    """Execution role to use; none means that of the domain, or one made for this stack."""
    network: Network = Field(default=Network(), examples=[{"subnets": ["subnet-0a1b2c3d"]}])
    """The network that SageMaker's containers and the front stand in."""
    update: Update = Field(default=Update(), examples=[{"policy": "canary"}])
    """How a new model or setting takes the place of the former."""
    image: str | None = Field(
        default=None,
        min_length=1,
        examples=["123456789012.dkr.ecr.eu-west-1.amazonaws.com/vllm:latest"],
    )
    """Container image in ECR, instead of the catalogue's; it must speak SageMaker's contract."""
    inference_ami: str | None = Field(
        default=None,
        pattern=r"^al[0-9]+-ami-sagemaker-inference-[a-z0-9-]+$",
        examples=["al2-ami-sagemaker-inference-gpu-3-1"],
    )
    """System image of SageMaker's machines, which brings the GPU driver; none means the one that
    goes with the container image."""
    hub_token: Secret | None = Field(
        default=None,
        examples=["${secret:arn:aws:secretsmanager:eu-west-1:123456789012:secret:hf-AbCdEf}"],
    )
    """Reference to the Hugging Face token of a gated model; it must be a `${secret:...}`."""
    copy_memory_mib: int = Field(default=1024, ge=128)
    """Memory of the machine that a copy reserves in `mode: components`, MiB; with too much of it
    the copy is never placed, for the machine's own agent needs some."""
    kms_key: KeyArn | None = Field(
        default=None,
        examples=["arn:aws:kms:eu-west-1:123456789012:key/1234abcd-12ab-34cd-56ef-1234567890ab"],
    )
    """KMS key that encrypts all that is kept; `own`: one is made; none means AWS's own keys."""
    alarm_email: str | None = Field(
        default=None, pattern=r"^[^@\s]+@[^@\s]+$", examples=["ops@example.com"]
    )
    """Address that alarms are sent to; AWS asks it to confirm once."""
    usd_per_month: float | None = Field(default=None, gt=0, examples=[1500])
    """Budget of the whole deployment, USD a month; `alarm_email` is told when it nears."""
