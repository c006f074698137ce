"""Whether the model's and the adapters' files can be had by whoever starts the container."""

from collections.abc import Iterator
from dataclasses import dataclass

import httpx
from botocore.exceptions import ClientError

from penstock.targets.aws.account import Account
from penstock.targets.aws.refusals import FORBIDDEN, aws_errors, code_of
from penstock.targets.doctor.finding import Finding, bad, good, unseen

HUB = "https://huggingface.co"
_PATIENCE_S = 10.0


@dataclass(frozen=True, slots=True)
class Stored:
    """Something in S3: `found`, `absent` or `denied`; `region` is its bucket's."""

    what: str
    uri: str
    seen: str
    size_bytes: int = 0
    region: str = ""


@dataclass(frozen=True, slots=True)
class OnHub:
    """A model on the Hub: HTTP status of the question, and whether it is gated."""

    name: str
    status: int
    gated: bool
    has_token: bool
    why: str = ""


def stored(account: Account, what: str, uri: str) -> Stored:
    """Ask S3 for an object, or whether there is any below a prefix."""
    bucket, _, key = uri.removeprefix("s3://").partition("/")
    s3 = account.client("s3")
    with aws_errors("S3"):
        try:
            region = s3.head_bucket(Bucket=bucket).get("BucketRegion", "")
            if key.endswith((".tar.gz", ".zip")):
                size = int(s3.head_object(Bucket=bucket, Key=key)["ContentLength"])
                return Stored(what, uri, "found", size, region)
            rows = s3.list_objects_v2(Bucket=bucket, Prefix=key.rstrip("/") + "/")
            size = sum(each["Size"] for each in rows.get("Contents", ()))
            return Stored(what, uri, "found" if size else "absent", size, region)
        except ClientError as error:
            if code_of(error) in FORBIDDEN | {"403"}:
                return Stored(what, uri, "denied")
            if code_of(error) in {"404", "NoSuchKey", "NoSuchBucket", "NotFound"}:
                return Stored(what, uri, "absent")
            raise


def on_hub(name: str, *, has_token: bool, hub: str = HUB) -> OnHub:
    """Ask the Hub whether there is such a model, without a token."""
    try:
        answer = httpx.get(f"{hub}/api/models/{name}", timeout=_PATIENCE_S, follow_redirects=True)
        gated = answer.status_code == 200 and bool(answer.json().get("gated"))
    except (httpx.HTTPError, ValueError) as error:
        return OnHub(name, 0, gated=False, has_token=has_token, why=str(error))
    return OnHub(name, answer.status_code, gated=gated, has_token=has_token)


def check_stored(facts: Stored, region: str) -> Iterator[Finding]:
    """Whether SageMaker can fetch it."""
    evidence = f"S3: {facts.uri}: {facts.seen}"
    if facts.seen == "denied":
        fix = "Allow s3:GetObject and s3:ListBucket to see it; the execution role needs both."
        yield unseen("model.files", f"S3 does not let us look at {facts.what}", evidence, fix)
    elif facts.seen == "absent":
        fix = "Upload it, or correct the manifest."
        yield bad("model.files", f"{facts.what} is not there", evidence, fix)
    elif facts.region and facts.region != region:
        yield bad(
            "model.files",
            f"{facts.what} is in {facts.region}, the endpoint in {region}",
            evidence,
            f"Copy it to a bucket in {region}.",
        )
    else:
        size = f"{facts.size_bytes / 2**20:,.0f} MiB"
        yield good("model.files", f"{facts.what} is there ({size})", evidence)


def check_hub(facts: OnHub) -> Iterator[Finding]:
    """Whether the container can fetch it."""
    evidence = f"{HUB}/api/models/{facts.name}: {facts.status or facts.why}"
    if facts.status == 0:
        yield unseen("model.hub", "the Hub cannot be asked from here", evidence)
    elif facts.status in (401, 403, 404):
        # The Hub does not tell strangers a private model from none.
        if facts.has_token:
            says = f"the Hub shows {facts.name} to nobody without a token: it is private, or gone"
            yield unseen("model.hub", says, evidence, "Check model.id and the token's rights.")
        else:
            fix = "Check model.id; for a private model set target.hub_token."
            yield bad("model.hub", f"the Hub has no public model {facts.name}", evidence, fix)
    elif facts.status != 200:
        yield unseen("model.hub", "the Hub did not answer as it should", evidence)
    elif facts.gated and not facts.has_token:
        yield bad(
            "model.hub",
            f"{facts.name} is gated, and there is no token",
            evidence,
            "Accept its terms on the Hub, keep your token in Secrets Manager, set "
            "target.hub_token.",
        )
    else:
        gate = ", gated, with a token" if facts.gated else ""
        yield good("model.hub", f"{facts.name} is on the Hub{gate}", evidence)


def check_token(account: Account, arn: str) -> Iterator[Finding]:
    """Whether the Hub's token is where the manifest says; its value is never read."""
    evidence = f"secretsmanager:DescribeSecret {arn}"
    with aws_errors("Secrets Manager"):
        try:
            account.client("secretsmanager").describe_secret(SecretId=arn)
        except ClientError as error:
            if code_of(error) == "ResourceNotFoundException":
                fix = "Make it, or correct target.hub_token; it must be in the endpoint's region."
                yield bad("model.token", "there is no such secret", evidence, fix)
                return
            raise
    yield good("model.token", "the Hub's token is there", evidence)
