"""Which instance type serves the model, and how a copy lies on its GPUs."""

from dataclasses import dataclass
from pathlib import Path

from penstock.catalog.catalogue import Catalogue
from penstock.catalog.catalogue import load as load_catalogue
from penstock.catalog.records import Instance
from penstock.ground.errors import UserError
from penstock.manifest.model import Manifest
from penstock.plan.question import Wishes, ask, find_shape
from penstock.sizing.calibration import read_calibration
from penstock.sizing.choice import choose


@dataclass(frozen=True, slots=True)
class Machine:
    """An instance type as SageMaker calls it, and what one copy of the model takes of it."""

    type: str
    gpus: int
    gpus_per_copy: int
    has_own_disks: bool

    @property
    def copies(self) -> int:
        """Copies of the model that one machine holds."""
        return max(self.gpus // max(self.gpus_per_copy, 1), 1)

    def for_copies(self, count: int) -> int:
        """Machines that hold so many copies."""
        return -(-count // self.copies)


NO_MACHINE = Machine("", 0, 0, has_own_disks=True)
"""What serverless inference runs on."""
_WITHOUT_DISKS = ("p3.", "g3.", "c5.", "c6i.", "c7i.", "m5.", "m6i.", "m7i.", "r5.", "r6i.")
"""Families without instance storage; others refuse a KMS key of their volumes (API reference of
CreateEndpointConfig, `KmsKeyId`)."""


def pick_machine(manifest: Manifest, hub_cache: Path) -> Machine:
    """The machine that the manifest names, or the cheapest that the plan finds.

    Raises:
        UserError: it names none, and the plan knows none that serves the load.
    """
    catalogue = load_catalogue()
    named = [name.removeprefix("ml.") for name in manifest.target.instances]
    if len(named) == 1:
        return _named(manifest, catalogue, named[0])
    demand = ask(manifest, find_shape(manifest, catalogue, hub_cache), Wishes())
    best = choose(demand, catalogue, read_calibration()).cheapest
    if best is None:
        raise UserError(
            f"no instance type of SageMaker serves the load of {manifest.name}",
            why="`penstock plan` tells why each one falls",
            fix="Lower the load, quantise the model, or name one type in target.instances.",
        )
    return _machine(best.option.instance, best.option.layout.gpus)


def _named(manifest: Manifest, catalogue: Catalogue, name: str) -> Machine:
    """A type that the user insists on: a copy takes what `tensor_parallel` says, else all GPUs."""
    instance = catalogue.instances.get(name)
    if instance is None:
        return Machine(f"ml.{name}", 0, 0, not name.startswith(_WITHOUT_DISKS))
    if not instance.on_sagemaker or instance.unsupported:
        raise UserError(
            f"{name} cannot be used",
            why=instance.unsupported or "SageMaker does not offer it",
            fix="Name another type in target.instances.",
        )
    engine = manifest.engine
    asked = engine.tensor_parallel if "tensor_parallel" in engine.model_fields_set else 0
    if asked > instance.gpus:
        raise UserError(
            f"engine.tensor_parallel ({asked}) is more than the {instance.gpus} GPUs of {name}",
            fix="Lower it, or name a larger type in target.instances.",
        )
    return _machine(instance, asked or instance.gpus)


def _machine(instance: Instance, gpus_per_copy: int) -> Machine:
    disks = not instance.name.startswith(_WITHOUT_DISKS)
    return Machine(f"ml.{instance.name}", instance.gpus, gpus_per_copy, disks)
