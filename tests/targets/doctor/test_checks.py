"""Every check over facts as they may be: what it says, and what it tells to do."""

from collections.abc import Iterable
from dataclasses import replace

import pytest

from penstock.ground.errors import CloudError
from penstock.targets.aws.logs import Line
from penstock.targets.aws.stacks import Failure, Seen
from penstock.targets.doctor import (
    alarms,
    capacity,
    credentials,
    image,
    machine,
    model,
    network,
    quotas,
    sizes,
    wreck,
)
from penstock.targets.doctor.finding import Finding, Verdict, bad, examine, good
from penstock.targets.local.state import RunState, ServiceState
from penstock.targets.sagemaker.hosted import Component, Endpoint

OK, WARNING, FAILED, UNKNOWN = Verdict.OK, Verdict.WARNING, Verdict.FAILED, Verdict.UNKNOWN


def told(findings: Iterable[Finding], check: str) -> Finding:
    """The one finding of a check."""
    (found,) = [each for each in findings if each.check == check]
    assert found.evidence
    assert found.fix or found.verdict in (OK, UNKNOWN)
    return found


WHO = credentials.Facts(
    "1", "arn:aws:iam::1:user/dev", 43_200, "eu-west-1", frozenset({"eu-west-1"}), 0.4
)


@pytest.mark.parametrize(
    ("changes", "check", "verdict", "words"),
    [
        ({}, "credentials.identity", OK, "account 1"),
        ({"arn": "arn:aws:iam::1:root"}, "credentials.identity", WARNING, "account itself"),
        ({"lasts_s": 600}, "credentials.end", WARNING, "10 minutes"),
        ({"region": "mars-1"}, "credentials.region", FAILED, "mars-1"),
        ({"skew_s": -42.0}, "credentials.clock", WARNING, "42 s behind"),
        ({"skew_s": 400.0}, "credentials.clock", FAILED, "400 s ahead"),
        ({"skew_s": None}, "credentials.clock", UNKNOWN, "no time"),
    ],
)
def test_credentials(changes: dict[str, object], check: str, verdict: Verdict, words: str) -> None:
    found = told(credentials.check(replace(WHO, **changes)), check)  # type: ignore[arg-type]
    assert found.verdict is verdict
    assert words in found.says


@pytest.mark.parametrize(
    ("allowed", "verdict", "words"),
    [(4.0, OK, "4 needed"), (2.0, WARNING, "blue/green"), (0.0, FAILED, "0 allowed"),
     (None, UNKNOWN, "no such quota")],
)  # fmt: skip
def test_quotas(allowed: float | None, verdict: Verdict, words: str) -> None:
    found = told(quotas.check(quotas.Facts("ml.g5.xlarge", 2, 4, allowed)), "quotas.machines")
    assert found.verdict is verdict
    assert words in found.says
    assert "'ml.g5.xlarge for endpoint usage'" in found.evidence


HOME = network.Facts(
    asked=("subnet-a", "subnet-b"),
    subnets=(
        network.Subnet("subnet-a", "vpc-1", "eu-west-1a", 200, "nat"),
        network.Subnet("subnet-b", "vpc-1", "eu-west-1b", 200, "nat"),
    ),
    groups={"sg-1": "vpc-1"},
    asked_groups=("sg-1",),
    opens=frozenset({"sg-1"}),
    endpoints=frozenset(),
    zones=frozenset({"eu-west-1a", "eu-west-1b"}),
    machine="ml.g5.xlarge",
    from_hub=True,
)


@pytest.mark.parametrize(
    ("zones", "status", "check", "verdict"),
    [
        (("a", "b"), "Successful", "capacity.zones", OK),
        (("a", "b"), "Successful", "capacity.scaling", OK),
        (("a",), "Successful", "capacity.zones", WARNING),
        ((), "Successful", "capacity.zones", FAILED),
        (("a", "b"), "Failed", "capacity.scaling", WARNING),
    ],
)
def test_capacity(zones: tuple[str, ...], status: str, check: str, verdict: Verdict) -> None:
    activity = capacity.Activity("Setting desired capacity to 2.", status, "no capacity")
    facts = capacity.Facts("ml.g5.xlarge", zones, (activity,))
    assert told(capacity.check(facts), check).verdict is verdict


def closed(subnet: network.Subnet, way_out: str = "") -> network.Subnet:
    return replace(subnet, way_out=way_out)


SHUT = (closed(HOME.subnets[0]), closed(HOME.subnets[1]))


@pytest.mark.parametrize(
    ("changes", "check", "verdict", "words"),
    [
        ({}, "network.routes", OK, "can reach"),
        ({}, "network.zones", OK, "eu-west-1a, eu-west-1b"),
        ({}, "network.groups", OK, "HTTPS"),
        ({"asked": ("subnet-a", "subnet-x")}, "network.subnets", FAILED, "subnet-x"),
        ({"subnets": (HOME.subnets[0], replace(HOME.subnets[1], vpc="vpc-2"))},
         "network.subnets", FAILED, "several networks"),
        ({"zones": frozenset({"eu-west-1c"})}, "network.zones", FAILED, "ml.g5.xlarge"),
        ({"subnets": HOME.subnets[:1], "asked": ("subnet-a",)}, "network.zones", WARNING,
         "all subnets lie in eu-west-1a"),
        ({"subnets": (replace(HOME.subnets[0], free=1), HOME.subnets[1])}, "network.addresses",
         WARNING, "subnet-a"),
        ({"subnets": SHUT}, "network.routes", FAILED, "comes from the Hub"),
        ({"subnets": SHUT, "from_hub": False}, "network.routes", FAILED, "no endpoint for s3"),
        ({"subnets": SHUT, "from_hub": False, "endpoints": frozenset(network.NEEDED)},
         "network.routes", OK, "can reach"),
        ({"subnets": (closed(HOME.subnets[0], "internet"), HOME.subnets[1])}, "network.routes",
         FAILED, "no public address"),
        ({"groups": {}}, "network.groups", FAILED, "no security group of vpc-1"),
        ({"groups": {"sg-1": "vpc-9"}}, "network.groups", FAILED, "sg-1"),
        ({"opens": frozenset()}, "network.groups", FAILED, "none of the security groups"),
    ],
)  # fmt: skip
def test_network(changes: dict[str, object], check: str, verdict: Verdict, words: str) -> None:
    found = told(network.check(replace(HOME, **changes)), check)  # type: ignore[arg-type]
    assert found.verdict is verdict
    assert words in found.says


DEFAULT = {"DestinationCidrBlock": "0.0.0.0/0", "State": "active"}


@pytest.mark.parametrize(
    ("routes", "way"),
    [
        ([{**DEFAULT, "NatGatewayId": "nat-1"}], "nat"),
        ([{**DEFAULT, "TransitGatewayId": "tgw-1"}], "nat"),
        ([{**DEFAULT, "GatewayId": "igw-1"}], "internet"),
        ([{**DEFAULT, "NatGatewayId": "nat-1", "State": "blackhole"}], ""),
        ([{"DestinationCidrBlock": "10.0.0.0/16", "GatewayId": "local"}], ""),
        ([], ""),
    ],
)
def test_the_way_out_of_a_subnet(routes: list[dict[str, str]], way: str) -> None:
    own = {"VpcId": "v", "Associations": [{"SubnetId": "s"}], "Routes": routes}
    main = {"VpcId": "v", "Associations": [{"Main": True}],
            "Routes": [{**DEFAULT, "GatewayId": "igw-9"}]}  # fmt: skip
    assert network.way_out("s", "v", [main, own]) == way
    assert network.way_out("s", "v", [own, main]) == way
    assert network.way_out("other", "v", [own, main]) == "internet"
    assert network.way_out("other", "w", [own, main]) == ""


OWN = "123456789012.dkr.ecr.eu-west-1.amazonaws.com/vllm:1-cu130"
IMAGE = image.Facts(OWN, "eu-west-1", "found", "al2023-ami-sagemaker-inference-gpu-4-1", True)


@pytest.mark.parametrize(
    ("changes", "check", "verdict", "words"),
    [
        ({}, "image.exists", OK, "is there"),
        ({}, "image.driver", OK, "CUDA 13.0"),
        ({"seen": "denied"}, "image.exists", UNKNOWN, "does not let us"),
        ({"seen": "ImageNotFound"}, "image.exists", FAILED, "no such image"),
        ({"uri": "vllm/vllm-openai:latest"}, "image.address", FAILED, "ECR alone"),
        ({"region": "us-east-1"}, "image.address", FAILED, "eu-west-1"),
        ({"inference_ami": ""}, "image.driver", FAILED, "logs nothing"),
        ({"inference_ami": "al2-ami-sagemaker-inference-gpu-3-1"}, "image.driver", WARNING, "550"),
    ],
)
def test_image(changes: dict[str, object], check: str, verdict: Verdict, words: str) -> None:
    found = told(image.check(replace(IMAGE, **changes)), check)  # type: ignore[arg-type]
    assert found.verdict is verdict
    assert words in found.says


def test_without_a_gpu_no_driver_matters() -> None:
    checks = [each.check for each in image.check(replace(IMAGE, has_gpu=False))]
    assert checks == ["image.exists"]


FILES = model.Stored("the model", "s3://b/m.tar.gz", "found", 2**30, "eu-west-1")


@pytest.mark.parametrize(
    ("changes", "verdict", "words"),
    [
        ({}, OK, "1,024 MiB"),
        ({"seen": "absent"}, FAILED, "not there"),
        ({"seen": "denied"}, UNKNOWN, "does not let us"),
        ({"region": "us-east-1"}, FAILED, "is in us-east-1"),
    ],
)
def test_stored_files(changes: dict[str, object], verdict: Verdict, words: str) -> None:
    facts = replace(FILES, **changes)  # type: ignore[arg-type]
    found = told(model.check_stored(facts, "eu-west-1"), "model.files")
    assert found.verdict is verdict
    assert words in found.says


HUB = model.OnHub("org/name", 200, gated=False, has_token=False)


@pytest.mark.parametrize(
    ("changes", "verdict", "words"),
    [
        ({}, OK, "is on the Hub"),
        ({"gated": True}, FAILED, "gated"),
        ({"gated": True, "has_token": True}, OK, "with a token"),
        ({"status": 401}, FAILED, "no public model"),
        ({"status": 404, "has_token": True}, UNKNOWN, "private, or gone"),
        ({"status": 0, "why": "no network"}, UNKNOWN, "cannot be asked"),
        ({"status": 503}, UNKNOWN, "as it should"),
    ],
)
def test_hub(changes: dict[str, object], verdict: Verdict, words: str) -> None:
    found = told(model.check_hub(replace(HUB, **changes)), "model.hub")  # type: ignore[arg-type]
    assert found.verdict is verdict
    assert words in found.says


SIZES = sizes.Facts(15.0, False, "ml.g5.xlarge", True, 250, 16.0, 3600, 1024)


@pytest.mark.parametrize(
    ("changes", "check", "verdict", "words"),
    [
        ({}, "sizes.machine", OK, "16 GiB"),
        ({}, "sizes.disk", OK, "fit"),
        ({}, "sizes.copy", OK, "room"),
        ({"known": False}, "sizes.machine", FAILED, "no ml.g5.xlarge"),
        ({"copy_memory_mib": 4096}, "sizes.copy", WARNING, "refused"),
        ({"copy_memory_mib": 16_000}, "sizes.copy", FAILED, "never placed"),
        ({"weights_gib": 140.0, "packed": True}, "sizes.disk", FAILED, "250 GB"),
        ({"disk_gb": None}, "sizes.disk", OK, "small enough"),
        ({"disk_gb": None, "weights_gib": 60.0}, "sizes.disk", WARNING, "no disk of its own"),
        ({"weights_gib": 800.0, "disk_gb": 7600}, "sizes.start", WARNING, "137 of 60 minutes"),
        ({"weights_gib": None}, "sizes.disk", UNKNOWN, "not known"),
    ],
)
def test_sizes(changes: dict[str, object], check: str, verdict: Verdict, words: str) -> None:
    found = told(sizes.check(replace(SIZES, **changes)), check)  # type: ignore[arg-type]
    assert found.verdict is verdict
    assert words in found.says


RING = alarms.Alarm("bot-errors", "Invocation5XXErrors", "ALARM", "Threshold Crossed", True)
WAKES = alarms.Alarm("bot-wake", "NoCapacityInvocationFailures", "OK", "", True)


@pytest.mark.parametrize(
    ("found", "zero", "check", "verdict"),
    [
        ((), False, "alarms.ringing", OK),
        ((RING,), False, "alarms.ringing", WARNING),
        ((WAKES,), True, "alarms.wake", OK),
        ((replace(WAKES, metric="HasBacklogWithoutCapacity"),), True, "alarms.wake", OK),
        ((replace(WAKES, state="ALARM"),), True, "alarms.ringing", OK),
        ((replace(WAKES, acts=False),), True, "alarms.wake", FAILED),
        ((RING,), True, "alarms.wake", FAILED),
    ],
)
def test_alarms(found: tuple[alarms.Alarm, ...], zero: bool, check: str, verdict: Verdict) -> None:
    assert told(alarms.check(alarms.Facts(found, zero)), check).verdict is verdict


def stack(status: str, *reasons: str) -> wreck.StackFacts:
    failures = tuple(Failure("Endpoint", "e", "AWS::SageMaker::Endpoint", r) for r in reasons)
    return wreck.StackFacts(Seen("penstock-bot", "id", status, "said so"), failures)


def endpoint(status: str, failure: str = "", *components: Component) -> Endpoint:
    return Endpoint("penstock-bot", status, failure, (), components, "config")


COPY = Component("penstock-bot-base", "InService", "", 1, 1, "", "arn")


@pytest.mark.parametrize(
    ("facts", "check", "verdict", "words"),
    [
        (stack("CREATE_COMPLETE"), "deployment.stack", OK, "CREATE_COMPLETE"),
        (stack("UPDATE_IN_PROGRESS"), "deployment.stack", WARNING, "IN_PROGRESS"),
        (stack("UPDATE_ROLLBACK_FAILED", "x"), "deployment.stack", FAILED, "stuck in a rollback"),
        (stack("UPDATE_ROLLBACK_COMPLETE", "x"), "deployment.stack", WARNING, "rolled back"),
        (stack("ROLLBACK_COMPLETE", "x"), "deployment.stack", FAILED, "ROLLBACK_COMPLETE"),
        (stack("DELETE_FAILED", "x"), "deployment.stack", FAILED, "DELETE_FAILED"),
        (endpoint("InService"), "deployment.endpoint", OK, "in service"),
        (endpoint("RollingBack"), "deployment.endpoint", WARNING, "RollingBack"),
        (endpoint("Failed", "why"), "deployment.endpoint", FAILED, "Failed"),
        (endpoint("UpdateRollbackFailed"), "deployment.endpoint", FAILED, "way back"),
        (endpoint("InService", "", COPY), "deployment.component", OK, "InService"),
        (endpoint("InService", "", replace(COPY, copies=0)), "deployment.component", WARNING,
         "0 of 1 copies"),
        (endpoint("InService", "", replace(COPY, status="Failed", failure="why")),
         "deployment.component", FAILED, "has failed"),
    ],
)  # fmt: skip
def test_what_stands(
    facts: wreck.StackFacts | Endpoint, check: str, verdict: Verdict, words: str
) -> None:
    whole = (
        wreck.Facts((), facts, ())
        if isinstance(facts, Endpoint)
        else wreck.Facts((facts,), None, ())
    )
    found = told(wreck.check(whole), check)
    assert found.verdict is verdict
    assert words in found.says
    assert wreck.Facts((), None, ()).is_there is False


def test_a_stuck_rollback_names_what_to_skip() -> None:
    facts = wreck.Facts((stack("UPDATE_ROLLBACK_FAILED", "x"),), None, ())
    assert "--resources-to-skip Endpoint" in told(wreck.check(facts), "deployment.stack").fix


def test_causes_are_told_only_where_something_failed_and_consequences_last() -> None:
    lines = tuple(
        Line(number, "group", "stream", text)
        for number, text in enumerate(
            ("INFO starts", "torch.OutOfMemoryError: CUDA out of memory", "ShardCannotStart")
        )
    )
    well = wreck.Facts((stack("CREATE_COMPLETE"),), endpoint("InService"), lines)
    assert not [each for each in wreck.check(well) if each.check.startswith("cause")]
    ill = wreck.Facts((stack("CREATE_FAILED", "did not pass the ping health check"),), None, lines)
    causes = [each for each in wreck.check(ill) if each.check.startswith("cause")]
    assert [each.check for each in causes] == ["cause.gpu-memory"]
    assert causes[0].evidence == "torch.OutOfMemoryError: CUDA out of memory"
    silent = wreck.Facts(ill.stacks, None, ())
    assert [e.check for e in wreck.check(silent) if e.check.startswith("cause")] == [
        "cause.health-check"
    ]
    strange = wreck.Facts((stack("CREATE_FAILED", "the moon"),), None, ())
    assert told(wreck.check(strange), "cause.unknown").verdict is WARNING


SERVICE = ServiceState("engine", "ready", "http://x", 7, 0, "engine.log")
STATE = RunState("bot", 1, "b", "ready", "http://h:8080", "k", "m", "", 0.0, (SERVICE,))
MACHINE = machine.Facts(8080, "", None, {}, 16.0, 1.0, 100.0, 0.0)
OOM = ["RuntimeError: out of memory"]


@pytest.mark.parametrize(
    ("changes", "check", "verdict", "words"),
    [
        ({}, "machine.port", OK, "free"),
        ({"blocked": "held by nginx (pid 3)"}, "machine.port", FAILED, "taken"),
        ({"blocked": "held by us", "state": STATE}, "machine.port", OK, "bot listens"),
        ({}, "machine.memory", OK, "fits"),
        ({"weights_gib": 12.0}, "machine.memory", WARNING, "most of"),
        ({"weights_gib": 20.0}, "machine.memory", FAILED, "does not fit"),
        ({"to_fetch_gib": 200.0}, "machine.disk", FAILED, "too full"),
        ({"to_fetch_gib": 2.0}, "machine.disk", OK, "room"),
        ({"tails": {"engine": OOM}}, "machine.last-run", WARNING, "engine of the last run"),
        ({"state": STATE}, "machine.service", OK, "engine runs"),
        ({"state": replace(STATE, services=(replace(SERVICE, restarts=3),)),
          "tails": {"engine": OOM}}, "machine.service", WARNING, "3 times"),
        ({"state": replace(STATE, services=(replace(SERVICE, pid=None, phase="waiting"),))},
         "machine.service", FAILED, "does not run"),
    ],
)  # fmt: skip
def test_this_machine(
    changes: dict[str, object], check: str, verdict: Verdict, words: str
) -> None:
    facts = replace(MACHINE, **changes)  # type: ignore[arg-type]
    found = told(machine.check(facts), check)
    assert found.verdict is verdict
    assert words in found.says


def test_a_family_that_cannot_look_does_not_stop_the_others() -> None:
    def broken() -> Iterable[Finding]:
        yield good("first.one", "well", "seen")
        raise CloudError("AWS refused DescribeX", why="AccessDenied", fix="Allow it")

    found = list(examine({"first": broken, "second": lambda: [bad("second", "ill", "e", "f")]}))
    assert [each.check for each in found] == ["first.one", "first", "second"]
    assert found[1].verdict is UNKNOWN
    assert (found[1].evidence, found[1].fix) == ("AccessDenied", "Allow it")
