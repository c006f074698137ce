"""Why a deployment failed: the words of CloudFormation, of SageMaker, and of the container."""

from collections.abc import Iterator, Sequence

from penstock.ground.errors import CloudError
from penstock.targets.aws.logs import Line, Logs
from penstock.targets.aws.remedies import remedy_for
from penstock.targets.aws.stacks import StackFailed
from penstock.targets.sagemaker.hosted import Hosting

LAST_LINES = 12
"""How many of the container's last lines are shown."""
GROUPS = {
    "AWS::SageMaker::Endpoint": "/aws/sagemaker/Endpoints/",
    "AWS::SageMaker::InferenceComponent": "/aws/sagemaker/InferenceComponents/",
}


class Diagnosis:
    """Looks for the reason of a failure."""

    def __init__(self, hosting: Hosting, logs: Logs) -> None:
        self._hosting, self._logs = hosting, logs

    def of_stack(self, failed: StackFailed) -> CloudError:
        """The error that says why a stack failed, and what to do."""
        reasons = [f"{each.logical_id}: {each.reason}" for each in failed.failures]
        hosted = [each for each in failed.failures if each.kind in GROUPS]
        named = [(each.kind, last_part(each.physical_id) or failed.stack.name) for each in hosted]
        reasons += self._own_reasons(named, reasons)
        lines = [
            line
            for kind, name in named
            for line in self._logs.tail(GROUPS[kind] + name, LAST_LINES, failed.began_ms)
        ]
        error = explain(failed.what, reasons or [failed.why], lines)
        error.where = failed.where
        if failed.fix:
            error.fix = failed.fix
        return error

    def of_endpoint(self, name: str, component: str, why: str) -> CloudError:
        """The error that says why an endpoint, or a component on it, is not in service."""
        kind = "InferenceComponent" if component else "Endpoint"
        group = GROUPS[f"AWS::SageMaker::{kind}"] + (component or name)
        error = explain(
            f"{component or name} has failed", [why], self._logs.tail(group, LAST_LINES)
        )
        error.where = f"log group {group}"
        return error

    def _own_reasons(
        self, hosted: Sequence[tuple[str, str]], told: Sequence[str]
    ) -> Iterator[str]:
        """What SageMaker says where it still knows, and CloudFormation has not said it."""
        for kind, name in hosted:
            why = self._hosting.failure(name, is_component=kind.endswith("Component"))
            if why and not any(why in reason for reason in told):
                yield f"{name}: {why}"


def explain(what: str, reasons: Sequence[str], lines: Sequence[Line]) -> CloudError:
    """An error of all reasons, the container's last lines, and what is known to help."""
    why = "; ".join(reasons)
    remedy = remedy_for("\n".join((*(line.text for line in lines), why)))
    if lines:
        written = "".join(f"\n    | {line.text.rstrip()}" for line in lines)
        why = f"{why}\n  The container's last lines:{written}\n "
    elif any("health check" in reason for reason in reasons):
        why = f"{why} The container wrote nothing."
    if remedy:
        joint = "" if why.endswith((".", " ")) else "."
        return CloudError(what, why=f"{why}{joint} {remedy.meaning}", fix=remedy.fix)
    return CloudError(what, why=why, fix="Nothing is known to help but what it says itself")


def last_part(physical_id: str) -> str:
    """The name at the end of an ARN, or the name itself."""
    return physical_id.rpartition("/")[2]
