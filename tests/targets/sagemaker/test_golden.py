"""Templates word for word, and what cfn-lint says of them.

`python -m tests.targets.sagemaker.test_golden` writes them anew; read the difference.
"""

import hashlib
import json
import time
from functools import cache
from pathlib import Path
from typing import Any, cast

import pytest
from cfnlint.config import ConfigMixIn
from cfnlint.decode.decode import decode_str
from cfnlint.runner import Runner
from tests.targets.sagemaker.cases import (
    CASES,
    combinations,
    emitted,
    manifest_of,
    written,
)

from penstock.targets.sagemaker.stacks import Observed
from penstock.wiring.cloud import MOST_KEYS, emit_stacks

GOLDEN = Path(__file__).parent / "golden"
COMBINATIONS = Path(__file__).parent / "combinations.txt"
"""A digest of each combination's templates; in words they are those of the cases, put together."""


@pytest.mark.parametrize("name", CASES)
def test_each_template_is_word_for_word(name: str) -> None:
    assert written(emitted(name)) == (GOLDEN / f"{name}.txt").read_text(encoding="utf-8")


def test_no_golden_template_is_left_over() -> None:
    assert {file.stem for file in GOLDEN.iterdir()} == set(CASES)


@pytest.mark.parametrize("name", combinations())
def test_each_combination_is_as_it_was(name: str) -> None:
    known = dict(line.split() for line in COMBINATIONS.read_text(encoding="utf-8").splitlines())
    assert set(known) == set(combinations())
    assert digest(name) == known[name]


def digest(name: str) -> str:
    """Of both templates of a combination."""
    return hashlib.sha256(written(emitted(name)).encode()).hexdigest()[:16]


@pytest.mark.parametrize("name", CASES)
def test_cfn_lint_finds_nothing(name: str) -> None:
    stacks = emitted(name)
    for stack in (stacks.base, stacks.main):
        assert found(json.dumps(stack.template)) == []


@pytest.mark.parametrize("name", combinations())
def test_cfn_lint_finds_nothing_in_any_combination(name: str) -> None:
    stacks = emitted(name)
    for stack in (stacks.base, stacks.main):
        assert found(json.dumps(stack.template)) == []
        assert len(json.dumps(stack.template)) < 51_200


def test_cfn_lint_would_find_something() -> None:
    template = json.dumps(emitted("components").main.template)
    broken = template.replace("MinMemoryRequiredInMb", "MinimalMemory")
    assert broken != template
    assert [each.partition(" ")[0] for each in found(broken)] == ["E3002"]


@cache
def found(template: str) -> list[str]:
    """What cfn-lint says of a template, errors and warnings; many base stacks are the same."""
    matches = linter().validate_template(decode_str(template)[0])
    return [f"{match.rule.id} {match.message}" for match in matches]


@cache
def linter() -> Runner:
    """One for all templates, as when cfn-lint is given many files: rules take 0.6 s to load."""
    return Runner(ConfigMixIn(regions=["us-east-1"]))


def test_the_largest_stack_is_rendered_within_a_second() -> None:
    adapters = {f"customer-{n}": f"s3://adapters/{n}.tar.gz" for n in range(150)}
    largest = CASES["gateway-managed"] | {
        "adapters": adapters,
        "tenants": {f"customer-{n}": {} for n in range(MOST_KEYS)},
    }
    manifest = manifest_of(**largest)
    took_s = []
    for _ in range(3):
        began = time.process_time()
        stacks = emit_stacks(manifest, Observed("us-east-1"))
        json.dumps([stacks.base.template, stacks.main.template])
        took_s.append(time.process_time() - began)
    count = len(cast("Any", stacks.main.template["Resources"]))
    print(f"{count} resources in {min(took_s):.3f} s of processor time")
    assert min(took_s) < 1


if __name__ == "__main__":
    for case in CASES:
        (GOLDEN / f"{case}.txt").write_text(written(emitted(case)), encoding="utf-8")
    lines = [f"{combination} {digest(combination)}\n" for combination in combinations()]
    COMBINATIONS.write_text("".join(lines), encoding="utf-8")
