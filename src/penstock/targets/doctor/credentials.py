"""Who asks AWS, where, and by which clock."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

from botocore.exceptions import BotoCoreError

from penstock.engines.sagemaker.token import seconds_left
from penstock.targets.aws.account import Account
from penstock.targets.aws.refusals import aws_errors
from penstock.targets.doctor.finding import Finding, bad, doubtful, good, unseen

SOON_S = 3600
"""A deployment takes half an hour, and one that fails as long again."""
SKEWED_S, REFUSED_S = 30, 300
"""AWS refuses signatures that are five minutes off."""


@dataclass(frozen=True, slots=True)
class Facts:
    """What was seen; `skew_s` is this machine's clock less AWS's."""

    account: str
    arn: str
    lasts_s: int
    region: str
    regions: frozenset[str]
    skew_s: float | None


def look(account: Account) -> Facts:
    """Ask AWS who we are.

    Raises:
        UserError: there are no credentials, or they are not valid.
        CloudError: AWS cannot be reached.
    """
    with aws_errors("AWS"):
        told = account.client("sts").get_caller_identity()
        now = datetime.now(UTC)
        regions = account.regions("sagemaker")
        try:
            lasts_s = seconds_left(account.credentials())
        except BotoCoreError:
            lasts_s = 0
    date = told["ResponseMetadata"]["HTTPHeaders"].get("date", "")
    skew_s = (now - parsedate_to_datetime(date)).total_seconds() if date else None
    return Facts(told["Account"], told["Arn"], lasts_s, account.region, regions, skew_s)


def check(facts: Facts) -> Iterator[Finding]:
    """Whether that will do."""
    yield _who(facts)
    if facts.lasts_s < SOON_S:
        yield doubtful(
            "credentials.end",
            f"the credentials end in {facts.lasts_s // 60} minutes",
            "botocore's credentials",
            "Sign in anew first; a deployment that is cut off goes on when it is run again.",
        )
    if facts.regions and facts.region not in facts.regions:
        yield bad(
            "credentials.region",
            f"{facts.region} is no region of SageMaker",
            f"botocore knows {len(facts.regions)}",
            "Correct target.region.",
        )
    else:
        yield good("credentials.region", f"SageMaker is in {facts.region}", "botocore's list")
    yield _clock(facts.skew_s)


def _who(facts: Facts) -> Finding:
    evidence = f"sts:GetCallerIdentity: {facts.arn}"
    if facts.arn.endswith(":root"):
        return doubtful(
            "credentials.identity",
            "these are the credentials of the account itself",
            evidence,
            "Deploy as a role that has what `penstock render --iam` prints, and no more.",
        )
    return good("credentials.identity", f"account {facts.account}", evidence)


def _clock(skew_s: float | None) -> Finding:
    if skew_s is None:
        return unseen("credentials.clock", "AWS told no time", "no Date header in its answer")
    evidence = f"the Date header of AWS's answer differs by {skew_s:.0f} s"
    if abs(skew_s) < SKEWED_S:
        return good("credentials.clock", "this machine's clock is right", evidence)
    says = f"this machine's clock is {abs(skew_s):.0f} s {'ahead' if skew_s > 0 else 'behind'}"
    fix = "Let it follow a time server (timedatectl set-ntp true)."
    make = bad if abs(skew_s) >= REFUSED_S else doubtful
    return make("credentials.clock", says, evidence, fix)
