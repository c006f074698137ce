"""`penstock plan` as a user types it: what it says, what it refuses, and that it starts light."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
from tests.cli.conftest import Run

SUPPORT_BOT = """
name: support-bot
model: {id: meta-llama/Llama-3.1-8B-Instruct, context: 8192}
load: {requests_per_minute: 60, prompt_tokens: 800, output_tokens: 200, ttft_ms_p95: 2000}
target: {kind: ecs, region: us-east-1}
"""


@pytest.fixture
def manifest(tmp_path: Path) -> Path:
    file = tmp_path / "penstock.yaml"
    file.write_text(SUPPORT_BOT)
    return file


@pytest.mark.usefixtures("manifest")
def test_it_answers_all_four_questions(run: Run) -> None:
    ran = run("plan")
    assert ran.code == 0
    for row in ("answer", "memory", "speed", "cost", "quota", "old"):
        assert f"  {row} " in ran.out
    assert "gated" in ran.out
    assert "these fall:" in ran.out
    assert "penstock plan --explain" in ran.err


@pytest.mark.usefixtures("manifest")
def test_json_is_one_object_with_bars_and_sources(run: Run) -> None:
    plan = json.loads(run("plan", "--json").out)
    best = plan["cheapest"]
    assert best["ttft_ms_p95"]["low"] < best["ttft_ms_p95"]["estimate"]
    assert sum(item["usd_per_month"] for item in best["bill"]) == pytest.approx(
        best["usd_per_month"], abs=0.01
    )
    assert all(item["source"] and item["as_of"] for item in best["bill"])
    assert best["usd_per_month_low"] <= best["usd_per_month"] <= best["usd_per_month_high"]


def test_the_arithmetic_names_its_sources(run: Run, manifest: Path) -> None:
    told = run("plan", "--explain").out
    assert "the arithmetic:" in told
    assert "https://github.com/aws/karpenter-provider-aws" in told
    assert "checked 2026-11-21" in told
    assert "not checked" not in told
    manifest.write_text(SUPPORT_BOT.replace("ecs", "sagemaker, instances: [g6e.xlarge]"))
    assert "not checked" in run("plan", "--explain").out


def test_the_shipped_model_needs_nothing_to_be_rented(run: Run) -> None:
    ran = run("plan")
    assert ran.code == 0
    assert "this machine" in ran.out


def test_what_does_not_fit_says_by_how_much_and_what_would(run: Run, manifest: Path) -> None:
    """8B in 16 bits on a T4 is a well known error: 16 GB of weights leave no room."""
    small = SUPPORT_BOT.replace("us-east-1", "us-east-1, instances: [g4dn.2xlarge]")
    manifest.write_text(small.replace("p95: 2000", "p95: 10000"))
    ran = run("plan")
    assert ran.code == 1
    assert "nothing serves this" in ran.out
    assert "g4dn.2xlarge: needs 17.8 GiB a GPU, has 13.3 usable" in ran.out
    assert "would do: quantization: awq" in ran.out


def test_an_unknown_model_is_refused_with_the_nearest(run: Run, manifest: Path) -> None:
    manifest.write_text("model: {id: meta-llama/Llama-3.1-8B-Instrukt}\n")
    ran = run("plan")
    assert ran.code == 2
    assert "meta-llama/Llama-3.1-8B-Instruct" in ran.err


@pytest.mark.usefixtures("manifest")
def test_it_starts_without_the_heavy_packages() -> None:
    program = (
        "import sys; from penstock.cli.app import main; code = main(['plan', '--json']); "
        "heavy = {'torch', 'boto3', 'botocore', 'ray', 'numpy', 'httpx', 'starlette'}; "
        "print(sorted(heavy & set(sys.modules)), file=sys.stderr); sys.exit(code)"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stderr.strip().splitlines()[-1:]) == (0, ["[]"])


@pytest.mark.parametrize(
    ("options", "why"),
    [
        (("--plot", "plan.gif"), "End the name in .svg or .png"),
        (("--plot", "nowhere/plan.svg"), "there is no folder nowhere"),
        (("--plot", "-", "--json"), "which --json needs"),
        (("--split", "80,20"), "Add --compare"),
    ],
)
def test_what_cannot_be_is_refused_before_anything_is_printed(
    run: Run, manifest: Path, options: tuple[str, ...], why: str
) -> None:
    manifest.write_text("model: {id: Qwen/Qwen2.5-7B-Instruct}\n")
    done = run("plan", *options)
    assert done.code == 2
    assert not done.out
    assert why in done.err
