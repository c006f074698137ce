"""`penstock catalog`: lists, one thing by name, and what is old or unchecked."""

import json

import pytest
from tests.cli.conftest import Run

from penstock.cli.catalog_tables import TABLES


@pytest.fixture(autouse=True)
def _no_kept_prices(monkeypatch: pytest.MonkeyPatch, tmp_path: object) -> None:
    monkeypatch.setenv("PENSTOCK_CONFIG", str(tmp_path))


@pytest.mark.parametrize("kind", TABLES)
def test_every_kind_is_listed(run: Run, kind: str) -> None:
    ran = run("catalog", "list", kind, "--today", "2026-11-21")
    head, *rows = ran.out.splitlines()
    assert ran.code == 0
    assert head.startswith(TABLES[kind][0][0])
    assert len(rows) >= 8
    assert len(json.loads(run("catalog", "list", kind, "--json").out)) == len(rows)


def test_what_is_old_or_unchecked_is_marked(run: Run) -> None:
    listed = run("catalog", "list", "prices", "--today", "2026-11-21").out.splitlines()
    rows = {tuple(line.split()[:2]): line for line in listed}
    assert rows["g5.xlarge", "us-east-1"].endswith("2026-07-20 old")
    assert rows["g5.xlarge", "eu-west-1"].endswith("2025-11-30 old")
    assert rows["ml.g6e.xlarge", "us-east-1"].endswith("2026-09-27 *")
    listed = run("catalog", "list", "prices", "--today", "2026-08-01").out.splitlines()
    rows = {tuple(line.split()[:2]): line for line in listed}
    assert rows["g5.xlarge", "us-east-1"].endswith("2026-07-20")


def test_a_machine_is_shown_with_its_twin_and_where_figures_are_from(run: Run) -> None:
    shown = run("catalog", "show", "ml.g5.xlarge", "--today", "2026-11-21").out
    assert "A10G" in shown
    assert "1.4084" in shown
    assert "124 days old" in shown
    assert "https://github.com/aws/karpenter-provider-aws" in shown
    assert "us-west-2" in shown


def test_a_model_is_shown_in_any_case(run: Run) -> None:
    shown = json.loads(run("catalog", "show", "qwen/qwen3-8b", "--json").out)
    assert shown["models"][0]["parameters"] == 8_190_735_360


def test_what_is_not_there_is_refused_with_what_is(run: Run) -> None:
    ran = run("catalog", "show", "Qwen/Qwen3-9B")
    assert ran.code == 2
    assert "Qwen/Qwen3-8B" in ran.err
    assert "models" in run("catalog", "list", "cars").err
    assert "Did you mean g5.xlarge" in run("catalog", "show", "g5.xlarg").err
    assert "`penstock catalog list`" in run("catalog", "show", "nope").err
    assert run("catalog", "show").code == 2
