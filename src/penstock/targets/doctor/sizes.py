"""Whether model and machine fit each other: GPUs, disk, RAM, and the time that a start takes."""

from collections.abc import Iterator
from dataclasses import dataclass

from penstock.targets.aws.account import Account
from penstock.targets.aws.refusals import aws_errors
from penstock.targets.doctor.finding import Finding, bad, doubtful, good, unseen

SLOW_MIB_PER_S = 100
"""A download that disappoints nobody; S3 and the Hub usually give several times that."""


@dataclass(frozen=True, slots=True)
class Facts:
    """The model's files and the machine; `disk_gb` is none where it has no disk of its own."""

    weights_gib: float | None
    packed: bool
    machine: str
    known: bool
    disk_gb: int | None
    ram_gib: float
    download_s: int
    copy_memory_mib: int | None


def machine_facts(account: Account, machine: str) -> tuple[bool, int | None, float]:
    """Whether EC2 knows the machine here, its own disks in GB, and its RAM in GiB."""
    name = machine.removeprefix("ml.")
    with aws_errors("EC2"):
        rows = account.client("ec2").describe_instance_types(
            Filters=[{"Name": "instance-type", "Values": [name]}]
        )["InstanceTypes"]
    if not rows:
        return False, None, 0.0
    storage = rows[0].get("InstanceStorageInfo", {}).get("TotalSizeInGB")
    return True, storage, rows[0]["MemoryInfo"]["SizeInMiB"] / 1024


def check(facts: Facts) -> Iterator[Finding]:
    """Whether that will do."""
    evidence = f"ec2:DescribeInstanceTypes {facts.machine}"
    if not facts.known:
        fix = "Name another type in target.instances, or another region."
        yield bad("sizes.machine", f"there is no {facts.machine} in this region", evidence, fix)
        return
    yield good("sizes.machine", f"{facts.machine} has {facts.ram_gib:.0f} GiB of RAM", evidence)
    yield from _copy(facts)
    if facts.weights_gib is None:
        says = "how large the model is, is not known here"
        yield unseen("sizes.disk", says, "neither a folder, S3, nor in the catalogue")
        return
    yield _disk(facts, evidence)
    yield _time(facts)


def _copy(facts: Facts) -> Iterator[Finding]:
    if facts.copy_memory_mib is None:
        return
    share = facts.copy_memory_mib / 1024 / facts.ram_gib
    evidence = f"target.copy_memory_mib {facts.copy_memory_mib}, RAM {facts.ram_gib:.0f} GiB"
    if share > 0.9:
        yield bad(
            "sizes.copy",
            "a copy reserves all of the machine's RAM: it is never placed",
            evidence,
            "Lower target.copy_memory_mib: the machine's own agent needs some.",
        )
    elif share > 0.2 and facts.ram_gib <= 16:
        yield doubtful(
            "sizes.copy",
            "on machines with 16 GiB a copy that reserves 4 GiB was refused, one with 1 accepted",
            f"{evidence}; one public report",
            "If it is not placed, lower target.copy_memory_mib.",
        )
    else:
        yield good("sizes.copy", "what a copy reserves leaves room for the agent", evidence)


def _disk(facts: Facts, evidence: str) -> Finding:
    assert facts.weights_gib is not None  # noqa: S101  asked above
    needed = facts.weights_gib * (2 if facts.packed else 1) * 1.074
    evidence = f"{evidence}: {facts.disk_gb or 'no'} GB of its own; {facts.weights_gib:.1f} GiB"
    if facts.disk_gb is None:
        says = "the machine has no disk of its own, and the volume that SageMaker adds is small"
        if needed > 20:
            fix = "Take a type with disks of its own (g5, g6, p4d)."
            return doubtful("sizes.disk", says, evidence, fix)
        return good("sizes.disk", "the model is small enough for SageMaker's volume", evidence)
    if needed > facts.disk_gb * 0.9:
        says = f"{needed:.0f} GB of files do not fit the machine's {facts.disk_gb} GB of disk"
        fix = "Take a larger type, quantise, or keep the files unpacked below an S3 prefix."
        return bad("sizes.disk", says, evidence, fix)
    return good("sizes.disk", "the model's files fit the machine's disk", evidence)


def _time(facts: Facts) -> Finding:
    assert facts.weights_gib is not None  # noqa: S101  asked above
    takes_s = facts.weights_gib * 1024 / SLOW_MIB_PER_S
    evidence = f"{facts.weights_gib:.1f} GiB at {SLOW_MIB_PER_S} MiB/s, a slow download"
    if takes_s > facts.download_s:
        says = f"the download may take {takes_s / 60:.0f} of {facts.download_s / 60:.0f} minutes"
        fix = "Put the model into S3 in the endpoint's region: model.id: s3://..."
        return doubtful("sizes.start", says, evidence, fix)
    return good("sizes.start", f"a download of about {max(1, takes_s / 60):.0f} min", evidence)
