"""Whole plans over all targets, word for word: the examples in AWS and golden/*.yaml.

`python -m tests.plan.test_golden` writes the texts anew, as every change of prices or of the
calibration demands; read the difference before you commit it. A first line `# explore` or
`# extrapolate` stands for the option.
"""

from pathlib import Path

import pytest
from tests.plan.conftest import make_plan

from penstock.ground.errors import UserError
from penstock.manifest.loader import load
from penstock.plan import explain, text
from penstock.plan.question import Wishes

GOLDEN = Path(__file__).parent / "golden"
EXAMPLES = sorted(Path("examples").glob("*/penstock.yaml"))
IN_AWS = [file for file in EXAMPLES if load(file).target.kind != "local"]
FILES = [*IN_AWS, *sorted(GOLDEN.glob("*.yaml"))]


def name(file: Path) -> str:
    return file.parent.name if file in EXAMPLES else file.stem


def told(file: Path) -> str:
    first = file.read_text(encoding="utf-8").splitlines()[0]
    wishes = Wishes(explore=first == "# explore", extrapolate=first == "# extrapolate")
    try:
        report = make_plan(load(file), wishes)
    except UserError as error:
        return f"error: {error}\n"
    return "\n".join((*text.lines(report), *explain.lines(report))) + "\n"


@pytest.mark.parametrize("file", FILES, ids=name)
def test_each_plan_is_word_for_word(file: Path) -> None:
    assert told(file) == (GOLDEN / f"{name(file)}.txt").read_text(encoding="utf-8")


@pytest.mark.parametrize("file", EXAMPLES, ids=name)
def test_every_example_is_planned_or_told_why_not(file: Path) -> None:
    assert told(file).startswith((f"{load(file).name}: ", "error: there is nothing to plan"))


def test_there_are_a_dozen_over_all_targets() -> None:
    kinds = [load(file).target for file in FILES]
    assert len(FILES) >= 12
    assert {each.kind for each in kinds} == {"local", "sagemaker", "ecs", "eks"}
    modes = {each.mode for each in kinds if each.kind == "sagemaker"}
    assert modes == {"realtime", "components", "async", "serverless"}


def test_the_plan_in_the_readme_is_a_real_one() -> None:
    """If not: put the first lines of golden/sagemaker.txt there."""
    question, answer, *_ = (GOLDEN / "sagemaker.txt").read_text(encoding="utf-8").split("\n\n")
    assert f"```text\n{question}\n\n{answer}\n```" in Path("README.md").read_text(encoding="utf-8")


if __name__ == "__main__":
    for written in FILES:
        (GOLDEN / f"{name(written)}.txt").write_text(told(written), encoding="utf-8")
