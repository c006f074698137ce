"""Whether the container image can be had, and started by the machine's driver."""

import re
from collections.abc import Iterator
from dataclasses import dataclass

from botocore.exceptions import ClientError

from penstock.catalog.images import registries
from penstock.targets.aws.account import Account
from penstock.targets.aws.refusals import FORBIDDEN, aws_errors, code_of, message_of
from penstock.targets.doctor.finding import Finding, bad, doubtful, good, unseen

_URI = re.compile(
    r"(?P<account>\d{12})\.dkr\.ecr\.(?P<region>[a-z0-9-]+)\.amazonaws\.com(?:\.cn)?/"
    r"(?P<repository>[^:@]+)(?::(?P<tag>[^@]+))?(?:@(?P<digest>sha256:[0-9a-f]{64}))?$"
)
_CUDA = re.compile(r"cu(\d\d)(\d)")
_FORMATS = (
    "application/vnd.docker.distribution.manifest.v2+json",
    "application/vnd.docker.distribution.manifest.list.v2+json",
    "application/vnd.oci.image.manifest.v1+json",
    "application/vnd.oci.image.index.v1+json",
)


@dataclass(frozen=True, slots=True)
class Facts:
    """An image, and what ECR says of it: `found`, `denied`, or why not."""

    uri: str
    region: str
    seen: str
    inference_ami: str
    has_gpu: bool


def look(account: Account, uri: str, inference_ami: str, *, has_gpu: bool) -> Facts:
    """Ask ECR; images of AWS's own registries may be asked for, too."""
    parts = _URI.match(uri)
    seen = ""
    if parts and parts["region"] == account.region:
        by = {"imageDigest": parts["digest"]} if parts["digest"] else {}
        with aws_errors("ECR"):
            try:
                told = account.client("ecr").batch_get_image(
                    registryId=parts["account"],
                    repositoryName=parts["repository"],
                    imageIds=[by or {"imageTag": parts["tag"] or "latest"}],
                    acceptedMediaTypes=list(_FORMATS),
                )
                failures = told.get("failures", ())
                reasons = ", ".join(each.get("failureReason", "") for each in failures)
                seen = "found" if told.get("images") else reasons or "not found"
            except ClientError as error:
                # A registry of AWS's own need not tell a stranger what it has.
                hidden = parts["account"] in registries()
                if code_of(error) == "RepositoryNotFoundException" and not hidden:
                    seen = message_of(error)
                elif code_of(error) in FORBIDDEN or hidden:
                    seen = "denied"
                else:
                    raise
    return Facts(uri, account.region, seen, inference_ami, has_gpu)


def check(facts: Facts) -> Iterator[Finding]:
    """Whether SageMaker can start it here."""
    parts = _URI.match(facts.uri)
    if parts is None:
        yield bad(
            "image.address",
            "SageMaker takes images from ECR alone",
            facts.uri,
            "Push it to a repository in ECR, and name that in target.image.",
        )
        return
    if parts["region"] != facts.region:
        yield bad(
            "image.address",
            f"the image is in {parts['region']}, the endpoint in {facts.region}",
            facts.uri,
            f"Push it to {facts.region}: SageMaker pulls within the region.",
        )
        return
    yield _existence(facts)
    yield from _driver(facts, parts["tag"] or "")


def _existence(facts: Facts) -> Finding:
    evidence = f"ecr:BatchGetImage {facts.uri}: {facts.seen}"
    if facts.seen == "found":
        return good("image.exists", "the image is there", evidence)
    if facts.seen == "denied":
        fix = "Allow ecr:BatchGetImage to see it; the execution role needs it anyway."
        return unseen("image.exists", "ECR does not let us look", evidence, fix)
    fix = "Correct target.image; AWS lists its own at github.com/aws/deep-learning-containers."
    return bad("image.exists", "there is no such image", evidence, fix)


def _driver(facts: Facts, tag: str) -> Iterator[Finding]:
    cuda = _CUDA.search(tag)
    if cuda is None or not facts.has_gpu:
        return
    version = f"{cuda[1]}.{cuda[2]}"
    evidence = f"tag {tag}, InferenceAmiVersion {facts.inference_ami or 'none'}"
    if int(cuda[1]) >= 13 and not facts.inference_ami:
        yield bad(
            "image.driver",
            f"CUDA {version} needs a newer driver than SageMaker's machines have by themselves: "
            "the container dies, and logs nothing",
            evidence,
            "Set target.inference_ami to al2023-ami-sagemaker-inference-gpu-4-1.",
        )
    elif int(cuda[1]) >= 13 and facts.inference_ami.startswith("al2-"):
        yield doubtful(
            "image.driver",
            f"whether the driver of {facts.inference_ami} (550) does for CUDA {version} depends "
            "on the image's compatibility layer",
            evidence,
            "If the container dies without a word, take al2023-ami-sagemaker-inference-gpu-4-1.",
        )
    else:
        yield good("image.driver", f"the driver goes with CUDA {version}", evidence)
