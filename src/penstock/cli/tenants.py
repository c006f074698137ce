"""`penstock tenants`: who may use the gateway, and how much."""

from enum import StrEnum
from typing import Annotated

import typer

from penstock.cli.address import Url
from penstock.cli.admin_client import AdminKey, find_admin, policy_fields
from penstock.cli.output import AsJson, ExitCode, print_json, print_text
from penstock.ground.errors import UserError

Models = Annotated[
    str | None, typer.Option("--models", help="Models and adapters, with commas; * is all.")
]
Tools = Annotated[str | None, typer.Option("--tools", help="Tools, with commas between them.")]
LimitPairs = Annotated[
    list[str] | None,
    typer.Option("--limit", help="Like requests_per_second=10, or =none; may be given again."),
]
BudgetPairs = Annotated[
    list[str] | None, typer.Option("--budget", help="Like usd_per_month=200; may be given again.")
]

Weight = Annotated[
    float | None, typer.Option("--weight", help="Its share of full engines; 1 as others.")
]


class Rank(StrEnum):
    """Who comes first when engines are full."""

    LOW = "low"
    NORMAL = "normal"
    HIGH = "high"


Priority = Annotated[
    Rank | None, typer.Option("--priority", help="Whether its requests come before others.")
]


class Action(StrEnum):
    """What to do."""

    LIST = "list"
    CREATE = "create"
    SHOW = "show"
    CHANGE = "change"
    DISABLE = "disable"
    ENABLE = "enable"


def command(  # noqa: PLR0913, PLR0917  one parameter an option
    action: Annotated[Action, typer.Argument(help="What to do.")] = Action.LIST,
    name: Annotated[str | None, typer.Argument(help="The tenant.")] = None,
    models: Models = None,
    tools: Tools = None,
    limit: LimitPairs = None,
    budget: BudgetPairs = None,
    weight: Weight = None,
    priority: Priority = None,
    url: Url = None,
    admin_key: AdminKey = None,
    as_json: AsJson = False,
) -> int:
    """Show, make, change or switch off the tenants of a gateway.

    Limits, budgets and shares that are given replace all that there were. A new tenant has 50
    requests a second, 100 at once and 10,000 a day where nothing else is given. With --json,
    stdout carries what the admin API answers.
    """
    client = find_admin(url, admin_key)
    if action is not Action.LIST and not name:
        raise UserError(f"which tenant is to {action}?", fix=f"`penstock tenants {action} NAME`")
    fields = policy_fields(models, tools, limit or [], budget or [])
    if weight is not None or priority is not None:
        fields["share"] = {"weight": weight or 1.0, "priority": priority or Rank.NORMAL}
    if action is Action.LIST:
        answer = client.ask("GET", "/tenants")
    elif action is Action.CREATE:
        answer = client.ask("POST", "/tenants", {"name": name, **fields})
    elif action is Action.SHOW:
        answer = client.ask("GET", f"/tenants/{name}")
    else:
        if action is not Action.CHANGE:
            fields["disabled"] = action is Action.DISABLE
        answer = client.ask("PATCH", f"/tenants/{name}", fields)
    if as_json:
        print_json(answer)
        return ExitCode.OK
    rows = answer["data"] if action is Action.LIST else [answer]
    for row in rows if isinstance(rows, list) else []:
        _show(row)
    return ExitCode.OK


def _show(tenant: dict[str, object]) -> None:
    state = "disabled" if tenant["disabled"] else "active"
    models = tenant["models"]
    named = ", ".join(models) if isinstance(models, list) else "*"
    print_text(f"{tenant['name']!s:24} {state:9} models {named}, made by {tenant['source']}")
    for kind in ("limits", "budgets", "share"):
        given = tenant[kind]
        if isinstance(given, dict) and given:
            print_text("  " + ", ".join(f"{name} {value}" for name, value in given.items()))
    states = tenant.get("budget_state")
    for row in states if isinstance(states, list) else []:
        print_text(f"  {row['window']}: {row['spent']:g} of {row['limit']:g} {row['unit']} spent")
