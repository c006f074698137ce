"""What to do about failures of a deployment, by the words that AWS and containers use for them.

A remedy is found by a pattern in the reasons and in the container's last lines; the first that
matches wins, so what is more telling comes first.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass

from penstock.targets.aws.container_words import CONSEQUENCES, CONTAINER


@dataclass(frozen=True, slots=True)
class Remedy:
    """Words of a failure (a regular expression), what they mean, and what to do.

    In both texts, `{1}` is the expression's first group.
    """

    name: str
    pattern: str
    meaning: str
    fix: str


QUOTA = "https://console.aws.amazon.com/servicequotas/home/services/sagemaker/quotas"
REMEDIES = (
    *(Remedy(*row) for row in CONTAINER),
    Remedy(
        "gpu-memory",
        r"CUDA out of memory|OutOfMemoryError|No available memory for the cache blocks|"
        r"larger than the (?:available|maximum) KV cache|exit(?:ed with)? code:? 137",
        "The model does not fit the GPU's memory",
        "Lower model.context or engine.gpu_memory_utilization, set model.quantization, or take a "
        "larger machine (target.instances): `penstock plan` says what fits",
    ),
    Remedy(
        "driver",
        r"CUDA driver version is insufficient|unsatisfied condition: cuda|forward compatibility",
        "The machine's GPU driver is too old for the image's CUDA",
        "Set target.inference_ami to one with a newer driver, as "
        "al2023-ami-sagemaker-inference-gpu-4-1",
    ),
    Remedy(
        "gated",
        r"gated repo|GatedRepoError|401 Client Error|403 Client Error|restricted and you are not",
        "Hugging Face does not give the model without a token that its owner has approved",
        "Ask for access on the model's page, and set target.hub_token",
    ),
    Remedy(
        "unknown-model",
        r"RepositoryNotFoundError|is not a local folder and is not a valid model identifier|"
        r"404 Client Error",
        "There is no such model",
        "Check model.id and model.revision",
    ),
    Remedy(
        "wrong-image",
        r"exec format error|exec .*: no such file or directory|exec .*no such file",
        "The image has no program that SageMaker could start",
        "The image must answer GET /ping and POST /invocations on port 8080, and be built for the "
        "machine's processor: check target.image",
    ),
    Remedy(
        "capacity",
        r"InsufficientInstanceCapacity|insufficient capacity|Unable to provision requested ML",
        "AWS has no such machine free in this region now",
        "Try again later, or name another type (target.instances) or region (target.region)",
    ),
    Remedy(
        "quota",
        r"account-level service limit '(.+?)'",
        "The account's quota `{1}` is too small",
        "Ask for more of `{1}` (a day or two): " + QUOTA,
    ),
    Remedy(
        "quota",
        r"ResourceLimitExceeded|LimitExceededException",
        "A quota of the account is used up",
        "Ask for more: " + QUOTA,
    ),
    Remedy(
        "download",
        r"Failed to download|could not be downloaded|NoSuchKey",
        "The model's files could not be fetched",
        "Check that they lie where model.id or adapters say, and that the execution role may read "
        "them (and decrypt, where a KMS key is used); a slow download has an hour",
    ),
    Remedy(
        "alarm",
        r"alarms? has gone into alarm",
        "An alarm went off during the roll-out, and the deployment before serves on",
        "`penstock logs` shows the errors of the new version; deploy again once they are mended",
    ),
    Remedy(
        "permission",
        r"not authorized to perform:? ([a-z0-9-]+:\w+)",
        "`{1}` is not allowed",
        "Have it allowed; `penstock render --iam` prints all that a deployer needs",
    ),
    Remedy(
        "image",
        r"CannotPull|image .*(?:does not exist|not found)|RepositoryNotFoundException",
        "The container image cannot be had",
        "Check target.image and its region; the execution role must be allowed to pull it",
    ),
    Remedy(
        "exists",
        r"already exist",
        "There is something of that name already that this deployment did not make",
        "Choose another name in penstock.yaml, or remove what is in the way",
    ),
    Remedy(
        "named",
        r"custom-named resource requires replacing",
        "CloudFormation cannot replace what has a fixed name",
        "Destroy and deploy again, or choose another name",
    ),
    Remedy(
        "not-empty",
        r"BucketNotEmpty|bucket you tried to delete is not empty",
        "Something was put into the bucket while it was being deleted",
        "Run `penstock destroy` again",
    ),
    Remedy(
        "throttling",
        r"Rate exceeded|Throttling",
        "AWS was asked too much at a time",
        "Run it again in a minute",
    ),
    Remedy(
        "archive",
        r"Failed to extract model data archive|not in gzip format|archive .{0,40}corrupt",
        "The model's archive cannot be unpacked",
        "It must be a .tar.gz with the files at its root: tar -czf model.tar.gz -C FOLDER .",
    ),
    Remedy(
        "model-data",
        r"Could not (?:find|access) model data",
        "SageMaker cannot read the model's files",
        "Check model.id, that the bucket is in the endpoint's region, and that the execution role "
        "has s3:GetObject and s3:ListBucket there (and kms:Decrypt for an encrypted one)",
    ),
    Remedy(
        "role",
        r"Could not assume role|[Uu]nable to assume|cannot be assumed|role is invalid or cannot",
        "SageMaker may not take the execution role",
        "Let sagemaker.amazonaws.com sts:AssumeRole in its trust policy, and the deployer "
        "iam:PassRole",
    ),
    Remedy(
        "placement",
        r"(?:not enough|[Ii]nsufficient|no) (?:hardware |compute )?"
        r"(?:resources?|accelerators?|memory|capacity|instances?).{0,80}"
        r"(?:to (?:host|place|deploy|run)|for (?:the )?inference component)|"
        r"does not fit on (?:any|the) instance",
        "A copy fits none of the endpoint's machines",
        "Lower target.copy_memory_mib (the machine's own agent needs some), raise scale.max, or "
        "take a larger machine",
    ),
    Remedy(
        "asleep",
        r"has no capacity to process this request",
        "The component has no copy: it is scaled to zero, or none could be started",
        "A request wakes it by the alarm NoCapacityInvocationFailures: see that there is one; the "
        "gateway holds requests meanwhile",
    ),
    Remedy(
        "network-interfaces",
        r"NetworkInterfaceLimitExceeded|EC2 API .{0,40}denied|(?:subnet|security group) ID "
        r".{0,40}does not exist",
        "SageMaker cannot stand in the network that it was given",
        "Check target.network, free addresses, and the execution role's ec2 permissions: "
        "`penstock doctor` looks at all three",
    ),
    Remedy(
        "kms",
        r"KMS.{0,80}(?:AccessDenied|not authorized|disabled|invalid state)|KMSAccessDenied",
        "The KMS key cannot be used",
        "Allow the execution role kms:Decrypt and kms:GenerateDataKey in the key's policy",
    ),
    Remedy(
        "clock",
        r"RequestTimeTooSkewed|Signature expired|Signature not yet current",
        "This machine's clock is wrong",
        "Let it follow a time server: timedatectl set-ntp true",
    ),
    *(Remedy(*row) for row in CONSEQUENCES),
    Remedy(
        "health-check",
        r"did not pass the ping health check",
        "The container did not answer GET /ping in time",
        "Read its last lines; if it wrote none, the driver may be wrong (target.inference_ami)",
    ),
)


def remedy_for(text: str) -> Remedy | None:
    """The remedy for a failure that `text` tells of; none where nothing is known."""
    return next(remedies_for(text), None)


def remedies_for(text: str) -> Iterator[Remedy]:
    """Every remedy for what `text` tells of, the most telling first."""
    for remedy in REMEDIES:
        if found := re.search(remedy.pattern, text, re.IGNORECASE):
            group = next((each for each in found.groups() if each), "")
            yield Remedy(
                remedy.name,
                remedy.pattern,
                remedy.meaning.replace("{1}", group),
                remedy.fix.replace("{1}", group),
            )
