"""Pictures: well-formed, inside of their frames, and true to the plan."""

import re
from collections.abc import Callable
from pathlib import Path
from xml.etree import ElementTree as Xml

import pytest
from hypothesis import given
from hypothesis import strategies as st

from penstock.ground.errors import UserError
from penstock.plan import pictures
from penstock.plan.drawing import HEIGHT, WIDTH, Chart, Line, Stack, page, ticks
from penstock.plan.report import Report
from penstock.wiring.pictures import picture_writer

Plan = Callable[..., Report]


@given(most=st.floats(1e-3, 1e9))
def test_ticks_are_few_round_and_reach_the_top(most: float) -> None:
    found = ticks(most)
    assert 3 <= len(found) <= 8
    assert found[0] == 0
    assert found[-1] >= most * 0.999


@given(
    points=st.lists(st.tuples(st.floats(0, 1e6), st.floats(0, 1e6)), min_size=1, max_size=20),
)
def test_lines_stay_inside_the_frame(points: list[tuple[float, float]]) -> None:
    drawn = page([Chart("a <b>", "x", "y", [Line("one & two", sorted(points))])], "c")
    Xml.fromstring(drawn)  # noqa: S314
    for line in re.findall(r'<polyline points="([^"]*)"', drawn):
        for x, y in (pair.split(",") for pair in line.split()):
            assert 0 <= float(x) <= WIDTH
            assert 0 <= float(y) <= HEIGHT


def test_a_stack_fills_its_bar() -> None:
    drawn = page([Stack("memory", "GiB", [("weights", 3), ("cache", 1)])], "m")
    widths = [float(w) for w in re.findall(r'y="28" width="([0-9.]+)"', drawn)]
    assert widths[0] == pytest.approx(3 * widths[1], rel=0.01)


def test_the_memory_bar_is_the_whole_gpu(plan: Plan) -> None:
    best = plan().best
    assert best
    assert pictures.memory(best).whole == pytest.approx(best.use.total_gib)


def test_cost_grows_in_steps_and_passes_through_the_plan(plan: Plan) -> None:
    report = plan()
    assert report.best
    first = pictures.cost(report).lines[0]
    assert first.label == report.best.option.name
    costs = [usd for _, usd in first.points]
    assert costs == sorted(costs)
    assert report.best.bill.usd_per_month == pytest.approx(costs[0])


def test_latency_grows_with_load_inside_its_band(plan: Plan) -> None:
    report = plan(load={"requests_per_minute": 200})
    assert report.best
    tail, median = pictures.latency(report, report.best).lines
    assert [ms for _, ms in tail.points] == sorted(ms for _, ms in tail.points)
    for (_, ms), low, high, (_, half) in zip(
        tail.points, tail.low, tail.high, median.points, strict=True
    ):
        assert low < ms < high
        assert half <= ms


def test_pictures_are_files_of_both_kinds(plan: Plan, tmp_path: Path) -> None:
    drawn = pictures.svg(plan())
    picture_writer(tmp_path / "plan.svg")(drawn, tmp_path / "plan.svg")
    picture_writer(tmp_path / "plan.png")(drawn, tmp_path / "plan.png")
    assert (tmp_path / "plan.svg").read_text() == drawn
    assert (tmp_path / "plan.png").read_bytes().startswith(b"\x89PNG")
    with pytest.raises(UserError, match="no picture"):
        picture_writer(tmp_path / "plan.gif")


def test_old_figures_are_told_in_the_picture_too(plan: Plan) -> None:
    report = plan()
    for drawn in (pictures.svg(report), "\n".join(pictures.terminal(report))):
        assert f"{len(report.stale)} prices older than 90 days" in drawn


def test_the_terminal_has_the_same_three(plan: Plan) -> None:
    told = "\n".join(pictures.terminal(plan()))
    assert "Memory of one" in told
    assert "Cost against load" in told
    assert "First token against load" in told


def test_where_nothing_serves_there_is_nothing_to_draw(plan: Plan) -> None:
    nothing = plan(target={"kind": "ecs", "instances": ["g4dn.xlarge"]})
    assert "nothing to draw" in pictures.svg(nothing)
    assert list(pictures.terminal(nothing)) == []
