"""SageMaker's control plane: its parts behind one set of operations."""

from typing import Any

from penstock.rehearsal.cloud import Cloud
from penstock.rehearsal.sagemaker.components import Components
from penstock.rehearsal.sagemaker.endpoints import Endpoints
from penstock.rehearsal.sagemaker.launching import Launcher
from penstock.rehearsal.sagemaker.models import Models
from penstock.rehearsal.sagemaker.quotas import Quotas
from penstock.rehearsal.sagemaker.records import Estate


class ControlPlane:
    """Finds the part that has an operation; what none has goes to moto."""

    def __init__(self, cloud: Cloud, estate: Estate, quotas: Quotas) -> None:
        launcher = Launcher(cloud)
        self._parts = (
            Models(cloud, estate),
            Endpoints(cloud, estate, launcher, quotas),
            Components(cloud, estate, launcher),
        )

    def __getattr__(self, name: str) -> Any:
        for part in self.__dict__.get("_parts", ()):
            if not name.startswith("_") and hasattr(part, name):
                return getattr(part, name)
        raise AttributeError(name)
