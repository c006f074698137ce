"""Endpoints of SageMaker in a manifest: what the gateway is told of them."""

from pathlib import Path

import msgspec
import pytest

from penstock.gateway.settings import SageMakerSettings, Settings
from penstock.manifest.loader import examine
from penstock.manifest.model import Manifest
from penstock.wiring.local import local_stack
from penstock.wiring.sagemaker import front_engines, with_addresses

MANIFEST = {
    "engine": {"kind": "sagemaker", "endpoint": "support-bot", "component": "support-bot-base"},
    "target": {"region": "eu-west-1"},
    "model": {"context": 4096},
    "models": {"org-a": {"endpoint": "support-bot", "component": "support-bot-org-a"}},
}


def told(manifest: dict[str, object], folder: Path) -> Settings:
    stack = local_stack(Manifest.model_validate(manifest), folder)
    assert stack.engines == ()
    file = next(path for path in stack.files if path.name == "gateway.json")
    return msgspec.json.decode(stack.files[file], type=Settings)


def test_every_component_is_an_engine_and_a_model(tmp_path: Path) -> None:
    settings = told(MANIFEST, tmp_path)
    own, other = settings.engines
    assert own.sagemaker == SageMakerSettings("support-bot", "eu-west-1", "support-bot-base")
    assert other.sagemaker == SageMakerSettings("support-bot", "eu-west-1", "support-bot-org-a")
    assert [(m.name, m.engines, m.upstream) for m in settings.models] == [
        ("support-bot-base", ("engine",), ""),
        ("org-a", ("org-a",), ""),
    ]
    assert all(model.routing is not None for model in settings.models)
    assert settings.tenants[0].tools == ()


def test_addresses_are_aws_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_SAGEMAKER_RUNTIME"):
        monkeypatch.delenv(name, raising=False)
    settings = with_addresses(told(MANIFEST, tmp_path))
    assert settings.engines[0].url == (
        "https://runtime.sagemaker.eu-west-1.amazonaws.com/endpoints/support-bot"
        "/inference-components/support-bot-base/openai"
    )
    whole = front_engines(
        Manifest.model_validate({"name": "bot", "adapters": {"org-a": "s3://b/a.tar.gz"}}),
        "penstock-bot", {"org-a": "penstock-bot-org-a"}, "cn-north-1",
    )  # fmt: skip
    urls = [
        e.url for e in with_addresses(msgspec.structs.replace(settings, engines=whole)).engines
    ]
    host = "https://runtime.sagemaker.cn-north-1.amazonaws.com.cn/endpoints/penstock-bot"
    assert urls == [f"{host}/openai", f"{host}/inference-components/penstock-bot-org-a/openai"]


def test_a_private_address_can_be_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL_SAGEMAKER_RUNTIME", "https://vpce-1.example.com")
    (first, _) = with_addresses(told(MANIFEST, tmp_path)).engines
    assert first.url.startswith("https://vpce-1.example.com/endpoints/support-bot/")


@pytest.mark.parametrize(
    ("text", "what"),
    [
        ("engine: {kind: sagemaker}", "needs engine.endpoint"),
        ("engine: {endpoint: x}", "engine.endpoint has no effect on engine.kind embedded"),
        (
            "engine: {kind: sagemaker, endpoint: x}\ntarget: {kind: sagemaker}",
            "cannot be deployed",
        ),
        ("engine: {kind: sagemaker, endpoint: x}\nadapters: {a: ./a}", "adapters have no effect"),
        ("engine: {kind: sagemaker, endpoint: x_y}", "engine.endpoint"),
        ("models: {m: {component: c}}", "is on no endpoint"),
        ("models: {m: {endpoint: e, urls: ['http://h:1']}}", "models.m.urls has no effect"),
        ("models: {m: {endpoint: e, served_as: n}}", "models.m.served_as has no effect"),
    ],
)
def test_what_does_not_fit_is_said(tmp_path: Path, text: str, what: str) -> None:
    file = tmp_path / "penstock.yaml"
    file.write_text(text + "\n")
    manifest, problems = examine(file)
    assert manifest is None
    assert any(what in problem.what for problem in problems), problems
