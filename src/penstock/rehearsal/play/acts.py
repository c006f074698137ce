"""The play: deploy, chat, roll an adapter, scale, sleep and wake, break, destroy.

Everything that Penstock does, it does by its own commands; what its users do, they do by HTTP, as
clients of SageMaker.
"""

import threading
from typing import Any

from penstock.ground.errors import PenstockError
from penstock.rehearsal.adapters import archive
from penstock.rehearsal.faults import KINDS
from penstock.rehearsal.inventory import FOREIGN, PRECIOUS
from penstock.rehearsal.play.commands import Commands, Ended
from penstock.rehearsal.play.stage import Stage

BUCKET, NAME = "rehearsed-artifacts", "rehearsed"
ENDPOINT = f"penstock-{NAME}"
BASE, ADAPTER = f"{ENDPOINT}-base", f"{ENDPOINT}-customer"
WORDS = "What is the capital of France?"
FATAL = {"capacity", "quota", "health_check", "memory", "download"}
"""Faults that end a deployment; it outlives the others."""
WISHES: dict[str, dict[str, Any]] = {
    "slow_download": {"seconds": 600},
    "throttling": {"service": "cloudformation", "times": 4},
}
CRASH = "crash"
NO_CAPACITY = "has no capacity"
IDLE_S, CLIENTS = 3000.0, 6


class Mismatch(PenstockError):
    """The rehearsed account is not as it should be."""


def play(stage: Stage, commands: Commands, faults: tuple[str, ...], *, keep: bool) -> None:
    """Play every act; raises Mismatch at the first that does not end as it should."""
    _upload(stage)
    foreign = stage.order("foreign", {})
    before = stage.order("inventory")
    _deploy(stage, commands)
    _roll(stage, commands)
    _scale(stage)
    _sleep_and_wake(stage)
    for kind in faults:
        _break(stage, commands, kind)
    if keep:
        return
    _destroy(commands, "destroy", NAME)
    left = [each for each in stage.order("inventory") if each not in before]
    _must(not left, "destroy", f"left behind: {left}")
    _must(all(each in before for each in foreign), "destroy", "what is not ours was touched")
    theirs = stage.client("s3").get_object(Bucket=FOREIGN, Key="precious.bin")["Body"].read()
    _must(theirs == PRECIOUS, "destroy", "a foreign object was changed")
    stage.tell("destroy", "nothing is left, and what is not ours is as it was")


def _upload(stage: Stage) -> None:
    s3 = stage.client("s3")
    s3.create_bucket(Bucket=BUCKET)
    for version in (1, 2):
        s3.put_object(Bucket=BUCKET, Key=f"adapter/{version}.tar.gz", Body=archive(version))
    stage.tell("prepare", f"two versions of an adapter are in s3://{BUCKET}")


def _deploy(stage: Stage, commands: Commands) -> None:
    file = commands.write(NAME, **_components(1))
    _well(commands.run("deploy", "deploy", str(file), "--yes", "--json"), "deploy")
    stage.tell("chat", f"{BASE}: {_says(stage, BASE)}")
    stage.tell("chat", f"{ADAPTER}, version 1: {_says(stage, ADAPTER)}")
    asked = ("invoke", WORDS, "--file", str(file), "--model", "customer", "--max-tokens", "12")
    stage.wait("an answer", lambda: commands.run("chat", *asked).code == 0)
    standing = _well(commands.run("status", "status", "--file", str(file)), "status")
    for line in standing.out.splitlines():
        stage.tell("status", line)


def _roll(stage: Stage, commands: Commands) -> None:
    old = _says(stage, ADAPTER)
    file = str(commands.write(NAME, **_components(2)))
    for line in _well(commands.run("diff", "diff", file), "diff").out.splitlines():
        stage.tell("diff", line)
    _well(commands.run("roll", "deploy", file, "--yes", "--json"), "roll")
    new = _says(stage, ADAPTER)
    _must(new != old, "roll", "the adapter answers as before")
    stage.tell("roll", f"{ADAPTER}, version 2: {new}")


def _scale(stage: Stage) -> None:
    enough = threading.Event()

    def ask() -> None:
        while not enough.is_set():
            stage.chat(ENDPOINT, BASE, WORDS)

    clients = [threading.Thread(target=ask, daemon=True) for _ in range(CLIENTS)]
    for each in clients:
        each.start()
    try:
        stage.wait("a second copy", lambda: _copies(stage) == 2)
    finally:
        enough.set()
        for each in clients:
            each.join()
    stage.tell("scale", f"{CLIENTS} clients at a time: two copies")


def _sleep_and_wake(stage: Stage) -> None:
    stage.order("clock", {"advance_s": IDLE_S})
    stage.wait("scale to zero", lambda: _copies(stage) == 0)
    stage.tell("sleep", "after an idle hour: no copy, no instance")
    status, why = stage.chat(ENDPOINT, BASE, WORDS)
    _must(status == 400, "wake", f"a request without capacity was answered {status}")
    stage.tell("wake", f"a request is refused: {why.partition('.')[0]}")
    stage.tell("wake", f"{BASE}: {_says(stage, BASE)}")


def _break(stage: Stage, commands: Commands, kind: str) -> None:
    act, name = f"break: {kind}", f"broken-{kind}".replace("_", "-")
    file = str(commands.write(name, **_one_model()))
    if kind == CRASH:
        _cut_off(commands, act, name)
        stage.tell(act, "the deployer was killed; it is run again")
    elif kind in WISHES:
        stage.order("faults", {"kind": kind, **WISHES[kind]})
    else:
        stage.order("faults", {"kind": kind, "name": f"penstock-{name}"})
    if kind in KINDS:
        stage.tell(act, KINDS[kind])
    ended = commands.run(act, "deploy", file, "--yes", "--json")
    if kind not in FATAL:
        _well(ended, act)
    else:
        _must(ended.code == 1, act, f"the deployment ended with {ended.code}")
        for line in ended.error["message"].splitlines():
            stage.tell(act, line)
    _destroy(commands, act, name)


def _cut_off(commands: Commands, act: str, name: str) -> None:
    """Kill a deployer at its work; one that was quicker than the signal begins anew."""
    file = str(commands.write(name, **_one_model()))
    at = "Model: CREATE_COMPLETE"
    while commands.run(act, "deploy", file, "--yes", "--json", kill_at=at).code == 0:
        _destroy(commands, act, name)


def _destroy(commands: Commands, act: str, name: str) -> None:
    file = commands.write(name, **(_components(2) if name == NAME else _one_model()))
    _well(commands.run(act, "destroy", str(file), "--yes", "--json"), act)


def _components(version: int) -> dict[str, Any]:
    """The sections of the manifest: a base and an adapter, from no copy to two."""
    return {
        "engine": {"kind": "vllm"},
        "target": {"kind": "sagemaker", "mode": "components", "instances": ["g5.xlarge"]},
        "scale": {"min": 0, "max": 2, "queue_per_replica": 1},
        "adapters": {"customer": f"s3://{BUCKET}/adapter/{version}.tar.gz"},
    }


def _one_model() -> dict[str, Any]:
    target = {"kind": "sagemaker", "mode": "realtime", "instances": ["g5.xlarge"]}
    return {"engine": {"kind": "vllm"}, "target": target}


def _says(stage: Stage, component: str) -> str:
    """What it answers; on a machine that is slow beside the clock it may have to wake first."""
    said = ""

    def answered() -> bool:
        nonlocal said
        status, said = stage.chat(ENDPOINT, component, WORDS)
        asleep = status == 400 and NO_CAPACITY in said
        _must(asleep or status == 200, "chat", f"{component} answered {status}: {said}")
        return not asleep

    stage.wait(f"an answer of {component}", answered)
    return said


def _copies(stage: Stage) -> int:
    found = stage.client("sagemaker").describe_inference_component(InferenceComponentName=BASE)
    return int(found["RuntimeConfig"]["CurrentCopyCount"])


def _well(ended: Ended, act: str) -> Ended:
    """The command, if it ended well."""
    _must(ended.code == 0, act, ended.error.get("message", f"exit code {ended.code}"))
    return ended


def _must(so: bool, act: str, why: str) -> None:
    if not so:
        raise Mismatch(f"the rehearsal failed in `{act}`", why=why)
