"""A deployment that stands or has failed: stacks, endpoint, components, and what they wrote."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from penstock.targets.aws.logs import Line, Logs
from penstock.targets.aws.remedies import remedies_for
from penstock.targets.aws.stacks import Failure, Seen, Stacks
from penstock.targets.doctor.finding import Finding, Verdict, bad, doubtful, good
from penstock.targets.sagemaker.hosted import Endpoint, Hosting

LINES = 400
"""Lines of each log that are read: an engine names its root cause long before its last words."""
_QUOTED = 3
CONSEQUENCES = ("broken-image", "worker", "health-check")
"""Remedies that say little where another one is known: these things follow from it."""


@dataclass(frozen=True, slots=True)
class StackFacts:
    """A stack, and what failed in its last operation, the first one first."""

    seen: Seen
    failures: tuple[Failure, ...]


@dataclass(frozen=True, slots=True)
class Facts:
    """The deployment as it is; none of it where it was never made."""

    stacks: tuple[StackFacts, ...]
    endpoint: Endpoint | None
    lines: tuple[Line, ...]

    @property
    def is_there(self) -> bool:
        """Whether anything was ever made."""
        return bool(self.stacks or self.endpoint)


def look(
    stacks: Stacks, hosting: Hosting, logs: Logs, names: Sequence[str], groups: Sequence[str]
) -> Facts:
    """Read the stacks `names`, the endpoint called like the last one, and the logs `groups`."""
    found = [seen for name in names if (seen := stacks.find(name))]
    told = tuple(
        StackFacts(seen, stacks.failures(seen) if _has_failed(seen.status) else ())
        for seen in found
    )
    lines = [line for group in groups for line in logs.tail(group, LINES)]
    return Facts(told, hosting.find(names[-1]), tuple(lines))


def _has_failed(status: str) -> bool:
    return "FAILED" in status or "ROLLBACK" in status


def check(facts: Facts) -> Iterator[Finding]:
    """What is wrong, why, and what helps."""
    troubled = False
    for stack in facts.stacks:
        finding = _stack(stack)
        troubled = troubled or finding.verdict is Verdict.FAILED
        yield finding
    if facts.endpoint is not None:
        for finding in _endpoint(facts.endpoint):
            troubled = troubled or finding.verdict is Verdict.FAILED
            yield finding
    if troubled:
        yield from _causes(facts)


def _stack(stack: StackFacts) -> Finding:
    seen = stack.seen
    reasons = "; ".join(f"{each.logical_id}: {each.reason}" for each in stack.failures)
    evidence = f"stack events of {seen.name}: {reasons or seen.reason or seen.status}"
    if seen.status == "UPDATE_ROLLBACK_FAILED":
        names = " ".join(each.logical_id for each in stack.failures)
        return bad(
            "deployment.stack",
            f"{seen.name} is stuck in a rollback",
            evidence,
            "Mend what it names and run `penstock deploy`, which goes on with it; or leave these "
            f"behind: aws cloudformation continue-update-rollback --stack-name {seen.name} "
            f"--resources-to-skip {names}",
        )
    if seen.status == "UPDATE_ROLLBACK_COMPLETE":
        fix = "The version before serves on. Mend what failed, and deploy again."
        return doubtful("deployment.stack", f"{seen.name} was rolled back", evidence, fix)
    if seen.status.endswith("IN_PROGRESS"):
        fix = "Wait, or run `penstock deploy`, which follows it to its end."
        return doubtful("deployment.stack", f"{seen.name} is {seen.status}", evidence, fix)
    if _has_failed(seen.status):
        fix = "Mend what failed first, and run `penstock deploy`: it removes the wreck."
        if seen.status == "DELETE_FAILED":
            fix = "Run `penstock destroy` again once what it names is gone."
        return bad("deployment.stack", f"{seen.name} is {seen.status}", evidence, fix)
    return good("deployment.stack", f"{seen.name} is {seen.status}", evidence)


def _endpoint(endpoint: Endpoint) -> Iterator[Finding]:
    evidence = f"sagemaker:DescribeEndpoint {endpoint.name}: {endpoint.status}"
    if endpoint.failure:
        evidence += f": {endpoint.failure}"
    if endpoint.status in ("Failed", "OutOfService"):
        fix = "A failed endpoint can only be deleted: `penstock deploy` makes it anew."
        yield bad("deployment.endpoint", f"the endpoint is {endpoint.status}", evidence, fix)
    elif endpoint.status == "UpdateRollbackFailed":
        says = "an update failed, and so did the way back: some machines have the old version"
        yield bad("deployment.endpoint", says, evidence, "Deploy again.")
    elif endpoint.status != "InService":
        says = f"the endpoint is {endpoint.status}"
        yield doubtful("deployment.endpoint", says, evidence, "Wait until it has settled.")
    else:
        yield good("deployment.endpoint", "the endpoint is in service", evidence)
    for each in endpoint.components:
        evidence = f"sagemaker:DescribeInferenceComponent {each.name}: {each.status}"
        evidence += f": {each.failure}" if each.failure else ""
        if each.status == "Failed":
            fix = "Mend the cause, and deploy again."
            yield bad("deployment.component", f"{each.name} has failed", evidence, fix)
        elif not each.base and each.copies < each.wanted_copies:
            says = f"{each.name} has {each.copies} of {each.wanted_copies} copies"
            fix = "Machines take minutes; if it stays so, AWS has none free, or none are allowed."
            yield doubtful("deployment.component", says, evidence, fix)
        else:
            yield good("deployment.component", f"{each.name} is {each.status}", evidence)


def _causes(facts: Facts) -> Iterator[Finding]:
    """What is known to be behind such words, in what AWS said and in what the container wrote."""
    said = [each.reason for stack in facts.stacks for each in stack.failures]
    if facts.endpoint is not None:
        said += [facts.endpoint.failure, *(each.failure for each in facts.endpoint.components)]
    text = "\n".join([*(line.text for line in facts.lines), *said])
    found = list(remedies_for(text))
    causes = [each for each in found if each.name not in CONSEQUENCES] or found
    for remedy in causes:
        seen = [line.text for line in facts.lines if any(remedies_of(remedy.name, line.text))]
        seen = seen or [each for each in said if any(remedies_of(remedy.name, each))]
        yield bad(f"cause.{remedy.name}", remedy.meaning, " | ".join(seen[:_QUOTED]), remedy.fix)
    if not found:
        last = " | ".join(line.text for line in facts.lines[-_QUOTED:]) or "no log"
        fix = "Read the whole log: `penstock logs -n 400`."
        yield doubtful("cause.unknown", "no known cause is named in the logs", last, fix)


def remedies_of(name: str, text: str) -> Iterator[str]:
    """The remedies called `name` that `text` alone calls for."""
    return (each.name for each in remedies_for(text) if each.name == name)
