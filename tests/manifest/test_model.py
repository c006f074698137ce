import pytest
from pydantic import ValidationError

from penstock.manifest.model import Manifest


@pytest.mark.parametrize(
    ("given", "served", "engine"),
    [
        ({}, "penstock-tiny", "embedded"),
        ({"model": {"id": "meta-llama/Llama-3.1-8B"}}, "Llama-3.1-8B", "vllm"),
        ({"model": {"id": "./models/mine/"}}, "mine", "vllm"),
        ({"model": {"id": "s3://bucket/mine.tar.gz"}}, "mine", "vllm"),
        ({"model": {"id": "a/b", "served_name": "bot"}}, "bot", "vllm"),
        ({"model": {"id": "a/b"}, "engine": {"kind": "embedded"}}, "b", "embedded"),
        ({"engine": {"kind": "vllm"}}, "penstock-tiny", "vllm"),
        ({"engine": {"kind": "openai"}}, "penstock-tiny", "openai"),
    ],
)
def test_name_and_engine_follow_from_the_model(
    given: dict[str, object], served: str, engine: str
) -> None:
    manifest = Manifest.model_validate(given)
    assert (manifest.served_model, manifest.engine_kind) == (served, engine)


def test_a_manifest_does_not_change() -> None:
    with pytest.raises(ValidationError, match="frozen"):
        setattr(Manifest(), "name", "other")  # noqa: B010  mypy knows better, too
