"""What helps, by the words that AWS and containers use."""

import pytest

from penstock.targets.aws.remedies import remedy_for

SAID = {
    "gpu-memory": "torch.OutOfMemoryError: CUDA out of memory. Tried to allocate 1.96 GiB.",
    "driver": "CUDA driver version is insufficient for CUDA runtime version",
    "gated": "You are trying to access a gated repo. 401 Client Error.",
    "unknown-model": "huggingface_hub.errors.RepositoryNotFoundError: 404 Client Error.",
    "wrong-image": "exec /usr/bin/serve: exec format error",
    "capacity": "Unable to provision requested ML compute capacity due to "
    "InsufficientInstanceCapacity error.",
    "quota": "The account-level service limit 'ml.g5.xlarge for endpoint usage' is 0 Instances",
    "download": "Failed to download model data for primary container",
    "alarm": "One or more configured alarms has gone into alarm during deployment: errors",
    "permission": "User: x is not authorized to perform: iam:PassRole on resource: y",
    "image": "CannotPullContainerError: image not found",
    "exists": "penstock-x already exists in stack arn:...",
    "named": "cannot update a stack when a custom-named resource requires replacing.",
    "not-empty": "The bucket you tried to delete is not empty",
    "throttling": "Rate exceeded (Service: SageMaker)",
    "health-check": "The primary container did not pass the ping health check.",
}


@pytest.mark.parametrize("name", SAID)
def test_every_failure_has_its_remedy(name: str) -> None:
    found = remedy_for(SAID[name])
    assert found
    assert found.name == name


def test_the_name_of_the_quota_stands_in_the_remedy() -> None:
    found = remedy_for(SAID["quota"])
    assert found
    assert "ml.g5.xlarge for endpoint usage" in found.fix


def test_of_several_words_the_more_telling_ones_count() -> None:
    found = remedy_for(f"{SAID['health-check']}\n{SAID['gpu-memory']}")
    assert found
    assert found.name == "gpu-memory"
    assert remedy_for("something else") is None
