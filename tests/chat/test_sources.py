"""Grants: who gets which tools, and with what set for it."""

from collections.abc import Sequence

import pytest
from tests.fakes.chat_tools import ONE_NUMBER, ActTool, returns

from penstock.chat.ports import Tool
from penstock.chat.results import Rich
from penstock.chat.sources import BuiltinSource, TenantSource, Toolboxes
from penstock.chat.tools.tenant_tool import Isolation, TenantTool
from penstock.ground.errors import ToolError

A, B = returns("crm_find", 1), returns("crm_delete", 2)


def crm(tenant: str) -> Sequence[Tool]:
    return {"org-a": (A, B), "org-b": (B,)}.get(tenant, ())


CRM = TenantSource("crm", crm, frozenset({"crm_delete"}))


def boxes() -> Toolboxes:
    return Toolboxes.of([CRM, BuiltinSource(returns("count", 3))])


@pytest.mark.parametrize(
    ("tenant", "grants", "names"),
    [
        ("org-a", ("crm",), ("crm_find", "crm_delete")),
        ("org-a", ("crm.find", "count"), ("crm_find", "count")),
        ("org-a", ("crm.find", "crm"), ("crm_find", "crm_delete")),
        ("org-b", ("crm",), ("crm_delete",)),
        ("org-b", ("crm.find",), ()),
        ("org-c", ("crm", "count"), ("count",)),
        ("org-a", (), ()),
        ("org-a", ("gone",), ()),
    ],
)
def test_a_tenant_gets_what_it_was_granted(
    tenant: str, grants: tuple[str, ...], names: tuple[str, ...]
) -> None:
    assert boxes().box(tenant, grants).names == names


def test_unknown_sources_are_named() -> None:
    assert boxes().unknown(("crm", "crm.find", "crn", "count")) == ["crn"]


def test_approval_goes_with_the_source() -> None:
    box = boxes().box("org-a", ("crm", "count"))
    assert [name for name in box.names if box.needs_approval(name)] == ["crm_delete"]
    everything = TenantSource("crm", lambda _: (A,), frozenset("*"))
    assert Toolboxes.of([everything]).box("org-a", ("crm",)).needs_approval("crm_find")


def test_a_box_is_compiled_once_for_each_version() -> None:
    made = boxes()
    box = made.box("org-a", ("crm",))
    assert made.box("org-a", ("crm",)) is box
    made.sources = {"crm": TenantSource("crm", lambda _: (A,), version=1)}
    assert made.box("org-a", ("crm",)).names == ("crm_find",)


async def test_what_is_set_for_a_tenant_is_not_the_model_s_to_see_or_set(
    caplog: pytest.LogCaptureFixture,
) -> None:
    parameters = {
        "properties": {"n": {"type": "integer"}, "org": {"type": "string"}},
        "required": ["n", "org"],
    }
    inner = returns("find", "x", parameters)
    tool = TenantTool(inner, "crm_find", {"org": "org-a"})
    function = tool.definition["function"]
    assert isinstance(function, dict)
    assert function["parameters"] == {
        "type": "object", "properties": {"n": {"type": "integer"}}, "required": ["n"]
    }  # fmt: skip
    await tool.call({"n": 1})
    assert caplog.text == ""
    await tool.call({"n": 1, "org": "org-b"})
    assert inner.calls == [{"n": 1, "org": "org-a"}] * 2
    assert "set org of tool crm_find" in caplog.text
    assert "org-b" not in caplog.text


@pytest.mark.parametrize(
    ("result", "passes"),
    [
        ({"org": "org-a", "rows": [{"org": "org-a"}]}, True),
        ({"rows": [{"org": "org-a"}, {"deep": [{"org": "org-b"}]}]}, False),
        ({"org": None}, False),
        ({"name": "org-b"}, True),
        ("org-b", True),
        ({"text": '{"rows": [{"org": "org-a"}]}'}, True),
        ({"text": ' {"rows": [{"org": "org-b"}]}'}, False),
        (['"{\\"org\\": \\"org-b\\"}"'], False),
        ({"text": '{"org": "org-b"'}, True),
        ({"org": ["org-a", "org-b"]}, False),
        ({"org": 7}, False),
    ],
)
async def test_results_of_another_tenant_are_withheld(result: object, passes: bool) -> None:
    tool = TenantTool(returns("f", result), "f", isolation=Isolation("org", "org-a"))
    if passes:
        assert await tool.call({}) == result
    else:
        with pytest.raises(ToolError, match="withheld") as caught:
            await tool.call({})
        assert "org-b" not in str(caught.value)


async def test_other_forms_of_a_result_are_not_shown_where_it_is_checked() -> None:
    result = Rich({"org": "org-a"}, ({"type": "text", "text": "all of org-b's secrets"},))
    fenced = TenantTool(returns("f", result), "f", isolation=Isolation("org", "org-a"))
    assert await fenced.call({}) == {"org": "org-a"}
    assert await TenantTool(returns("f", result), "f").call({}) is result


async def test_results_too_deep_to_look_at_are_withheld() -> None:
    deep: object = "x"
    for _ in range(100):
        deep = [deep]
    tool = TenantTool(returns("f", deep), "f", isolation=Isolation("org", "org-a"))
    with pytest.raises(ToolError):
        await tool.call({})


def test_a_definition_without_parameters_will_do() -> None:
    tool = TenantTool(ActTool("f", returns("f", 1).call, parameters=ONE_NUMBER), "g", {"n": 1})
    function = tool.definition["function"]
    assert isinstance(function, dict)
    assert (function["name"], function["parameters"]["required"]) == ("g", [])
