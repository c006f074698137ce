"""A gateway in AWS as it is told: settings that it can read, with variables for what is secret."""

from pathlib import Path
from typing import Any

import msgspec
import pytest
from tests.gateway.gateway_process import GatewayProcess, settings_for
from tests.targets.sagemaker.cases import CASES, HTTPS, SECRET, manifest_of

from penstock.gateway.settings import Settings
from penstock.ground.errors import ManifestError, UserError
from penstock.manifest.checks import check
from penstock.manifest.model import Manifest
from penstock.targets.sagemaker.handbook import upload_bytes
from penstock.wiring.cloud import MOST_KEYS, gateway_files, in_process
from penstock.wiring.settings_place import read_from

FRONTS = [name for name, case in CASES.items() if "front" in case]


@pytest.mark.parametrize("name", FRONTS)
def test_the_gateway_can_read_what_it_is_told(name: str) -> None:
    files = gateway_files(manifest_of(**CASES[name]), "us-east-1")
    assert files is not None
    settings = msgspec.json.decode(upload_bytes(files.settings), type=Settings)
    assert settings.port == 8080
    assert not settings.metrics_open
    assert all(
        engine.sagemaker and engine.sagemaker.region == "us-east-1" for engine in settings.engines
    )


def test_without_a_front_there_is_nothing_to_tell() -> None:
    assert gateway_files(manifest_of(), "us-east-1") is None


def test_the_same_manifest_is_told_under_the_same_name() -> None:
    first, again = (gateway_files(manifest_of(front=HTTPS), "us-east-1") for _ in range(2))
    other = gateway_files(manifest_of(front=HTTPS, turns={"max_rounds": 3}), "us-east-1")
    assert first
    assert again
    assert other
    assert first.settings.key == again.settings.key != other.settings.key


def test_secrets_become_variables_and_the_containers_stay_as_they_are() -> None:
    manifest = manifest_of(
        front=HTTPS | {"state": "given"},
        registry={"url": SECRET.format("db")},
        target={"hub_token": SECRET.format("hub")},
    )
    told, secrets = in_process(manifest)
    (name,) = secrets
    assert told.registry.url == f"${{env:{name}}}"
    assert secrets[name].endswith("secret:db-AbCdEf")
    assert told.target == manifest.target


def test_many_tenants_get_their_keys_from_the_admin_api() -> None:
    tenants: dict[str, Any] = {f"t{number}": {} for number in range(MOST_KEYS + 1)}
    files = gateway_files(manifest_of(front=HTTPS, tenants=tenants), "us-east-1")
    assert files
    assert files.tenants == ()
    with pytest.raises(ManifestError, match="too many for a REST API"):
        gateway_files(manifest_of(front={"kind": "rest"}, tenants=tenants), "us-east-1")


@pytest.mark.parametrize(
    ("sections", "what"),
    [
        ({"front": {"kind": "gateway"}}, "serves HTTPS, and that needs a name"),
        ({"front": HTTPS | {"plain_http": True}}, "for all to read"),
        ({"front": HTTPS | {"tasks_max": 2}}, "share no state"),
        ({"front": HTTPS | {"state": "given"}}, "registry.url gives nothing"),
        ({"front": HTTPS | {"database_max_acu": 8}}, "no effect on front.state ephemeral"),
        ({"front": HTTPS, "registry": {"url": SECRET.format("x")}}, "registry has no effect"),
        ({"front": {"waf": True}}, "front.waf has no effect on front.kind none"),
        ({"front": {"kind": "rest", "domain": "a.b.cc"}}, "no effect on front.kind rest"),
        ({"ui": "open-webui"}, "has nothing to speak to"),
        ({"front": HTTPS, "engine": {"kind": "tgi"}}, "does not speak OpenAI"),
        ({"front": HTTPS, "target": {"mode": "async"}}, "answers into S3"),
        (
            {
                "front": HTTPS,
                "tenants": {"a": {"usd_per_month": 1}},
                "prices": {"Qwen3-0.6B": {"prompt": 1}},
            },
            "the budget would not hold",
        ),
        ({"front": HTTPS, "turns": {"key": "${env:KEY}"}}, "is a variable of this shell"),
        ({"front": HTTPS, "builtin_tools": {"database": "./p.db"}}, "lies on this machine"),
        ({"front": HTTPS, "audit": {"to": "./here", "key_file": "k"}}, "lies on this machine"),
        ({"front": HTTPS, "batches": {"to": "./here"}}, "lies on this machine"),
        ({"front": HTTPS, "batches": {"to": "s3://b"}}, "forgets its batches with the task"),
        ({"front": {"kind": "rest"}, "batches": {"to": "s3://b"}}, "it runs no batches"),
        ({"batches": {"to": "s3://b"}}, "batches.to has no effect without a front"),
        (
            {"front": HTTPS, "target": {"network": {"subnets": ["s"], "security_groups": ["g"]}}},
            "which network the subnets lie in",
        ),
        ({"target": {"network": {"own": True, "egress": "endpoints"}}}, "fetched from the Hub"),
        ({"target": {"network": {"egress": "endpoints"}}}, "a network that exists"),
        ({"target": {"update": {"policy": "rolling"}}}, "needs two machines"),
        ({"target": {"update": {"percent": 20}}}, "no effect on target.update.policy"),
        ({"target": {"mode": "components", "update": {"policy": "canary"}}}, "copy by copy"),
        ({"target": {"update": {"policy": "linear", "percent": 5}}}, "at least 10 %"),
    ],
)  # fmt: skip
def test_what_does_not_fit_a_front_is_told(sections: dict[str, Any], what: str) -> None:
    target = {"kind": "sagemaker", "instances": ["g5.xlarge"]} | sections.get("target", {})
    given = {"model": {"id": "Qwen/Qwen3-0.6B"}} | sections | {"target": target}
    flaws = check(Manifest.model_validate(given))
    assert any(what in flaw.what for flaw in flaws), flaws


def test_a_gateway_takes_the_admin_key_that_only_its_environment_knows(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PENSTOCK_ADMIN_KEY", "made-by-secrets-manager")
    settings = settings_for({"one": "http://127.0.0.1:9"}, admin_env="PENSTOCK_ADMIN_KEY",
                            metrics_open=False)  # fmt: skip
    with GatewayProcess(settings, is_ready=False) as gateway:
        assert gateway.get("/metrics", "made-by-secrets-manager").status_code == 200
        assert gateway.get("/metrics").status_code == 401


def test_a_missing_admin_key_is_told_by_name(tmp_path: Path) -> None:
    file = tmp_path / "settings.json"
    file.write_bytes(msgspec.json.encode(settings_for({}, admin_env="PENSTOCK_NOWHERE")))
    with pytest.raises(UserError, match="the admin API has no key"):
        read_from(str(file))
