"""The play: deploy, chat, roll an adapter, scale, sleep and wake, break, destroy."""

from typing import Any

from penstock.ground.errors import PenstockError
from penstock.rehearsal.adapters import archive
from penstock.rehearsal.faults import KINDS
from penstock.rehearsal.inventory import FOREIGN, PRECIOUS
from penstock.rehearsal.play.stage import Stage
from penstock.rehearsal.play.template import ADAPTER, BASE, ENDPOINT, components

BUCKET, STACK = "rehearsed-artifacts", "penstock-rehearsed"
WORDS = "What is the capital of France?"
ENDPOINT_FAULTS = ("capacity", "quota", "health_check", "memory", "download")
IDLE_S = 3000.0


class Mismatch(PenstockError):
    """The rehearsed account is not as it should be."""


def play(stage: Stage, faults: tuple[str, ...], *, keep: bool) -> None:
    """Play every act; raises Mismatch at the first that does not end as it should."""
    foreign = stage.order("foreign", {})
    before = _things(stage)
    _upload(stage)
    _deploy(stage)
    _roll(stage)
    _scale(stage)
    _sleep_and_wake(stage)
    for kind in faults:
        _break(stage, kind)
    if keep:
        return
    _destroy(stage)
    left = [each for each in _things(stage) if each not in before]
    _must(not left, "destroy", f"left behind: {left}")
    _must(all(each in before for each in foreign), "destroy", "what is not ours was touched")
    theirs = stage.client("s3").get_object(Bucket=FOREIGN, Key="precious.bin")["Body"].read()
    _must(theirs == PRECIOUS, "destroy", "a foreign object was changed")
    stage.tell("destroy", "nothing is left, and what is not ours is as it was")


def _upload(stage: Stage) -> None:
    s3 = stage.client("s3")
    s3.create_bucket(Bucket=BUCKET)
    for version in (1, 2):
        s3.put_object(Bucket=BUCKET, Key=_key(version), Body=archive(version))
    stage.tell("deploy", f"two versions of an adapter are in s3://{BUCKET}")


def _deploy(stage: Stage) -> None:
    status = stage.deploy("deploy", STACK, components(_place(1)))
    _must(status == "CREATE_COMPLETE", "deploy", f"the stack is {status}")
    stage.tell("chat", f"{BASE}: {_says(stage, BASE)}")
    stage.tell("chat", f"{ADAPTER}, version 1: {_says(stage, ADAPTER)}")


def _roll(stage: Stage) -> None:
    old = _says(stage, ADAPTER)
    status = stage.deploy("roll", STACK, components(_place(2)))
    _must(status == "UPDATE_COMPLETE", "roll", f"the stack is {status}")
    new = _says(stage, ADAPTER)
    _must(new != old, "roll", "the adapter answers as before")
    stage.tell("roll", f"{ADAPTER}, version 2: {new}")


def _scale(stage: Stage) -> None:
    def grown() -> bool:
        _says(stage, BASE)
        return _copies(stage) == 2

    stage.wait("a second copy", grown)
    stage.tell("scale", "under load: two copies")


def _sleep_and_wake(stage: Stage) -> None:
    stage.order("clock", {"advance_s": IDLE_S})
    stage.wait("scale to zero", lambda: _copies(stage) == 0)
    stage.tell("sleep", "after an idle hour: no copy, no instance")
    status, why = stage.chat(ENDPOINT, BASE, WORDS)
    _must(status == 400, "wake", f"a request without capacity was answered {status}")
    stage.tell("wake", f"a request is refused: {why.partition('.')[0]}")
    stage.wait("a copy that wakes", lambda: _copies(stage) == 1)
    stage.tell("wake", f"{BASE}: {_says(stage, BASE)}")


def _break(stage: Stage, kind: str) -> None:
    act, name = f"break: {kind}", f"rehearsed-{kind}".replace("_", "-")
    if kind not in ENDPOINT_FAULTS:
        stage.order("faults", {"kind": kind, **({"name": ENDPOINT} if kind == "stream" else {})})
        stage.tell(act, KINDS[kind])
        return
    stage.order("faults", {"kind": kind, "name": name})
    template = components(_place(1), endpoint=name)
    for each in ("Base", "Adapter", "Target", "Tracking", "Wake", "Alarm"):
        del template["Resources"][each]
    if kind in {"health_check", "memory", "download"}:
        template["Resources"] |= _one_model()
    status = stage.deploy(act, name, template)
    _must(status == "ROLLBACK_COMPLETE", act, f"the stack is {status}")
    _must(stage.destroy(act, name) == "DELETE_COMPLETE", act, "the wreck stays")


def _one_model() -> dict[str, Any]:
    role = {"Fn::GetAtt": ["Role", "Arn"]}
    variant = {
        "VariantName": "main",
        "ModelName": {"Fn::GetAtt": ["Model", "ModelName"]},
        "InstanceType": "ml.g5.xlarge",
        "InitialInstanceCount": 1,
    }
    model = {"ExecutionRoleArn": role, "PrimaryContainer": {"Image": "vllm:1"}}
    return {
        "Model": {"Type": "AWS::SageMaker::Model", "Properties": model},
        "Config": {
            "Type": "AWS::SageMaker::EndpointConfig",
            "Properties": {"ProductionVariants": [variant]},
        },
    }


def _destroy(stage: Stage) -> None:
    status = stage.destroy("destroy", STACK)
    _must(status == "DELETE_COMPLETE", "destroy", f"the stack is {status}")
    s3 = stage.client("s3")
    for version in (1, 2):
        s3.delete_object(Bucket=BUCKET, Key=_key(version))
    s3.delete_bucket(Bucket=BUCKET)


def _says(stage: Stage, component: str) -> str:
    status, said = stage.chat(ENDPOINT, component, WORDS)
    _must(status == 200, "chat", f"{component} answered {status}: {said}")
    return said


def _copies(stage: Stage) -> int:
    found = stage.client("sagemaker").describe_inference_component(InferenceComponentName=BASE)
    return int(found["RuntimeConfig"]["CurrentCopyCount"])


def _things(stage: Stage) -> list[Any]:
    """Return what exists, without the logs that SageMaker leaves."""
    return [e for e in stage.order("inventory") if e["type"] != "AWS::Logs::LogGroup"]


def _key(version: int) -> str:
    return f"adapter/{version}.tar.gz"


def _place(version: int) -> str:
    return f"s3://{BUCKET}/{_key(version)}"


def _must(so: bool, act: str, why: str) -> None:
    if not so:
        raise Mismatch(f"the rehearsal failed in `{act}`", why=why)
