"""`penstock keys`: API keys of tenants, and admin keys."""

import time
from enum import StrEnum
from typing import Annotated

import typer

from penstock.cli.address import Url
from penstock.cli.admin_client import AdminClient, AdminKey, find_admin, policy_fields
from penstock.cli.output import AsJson, ExitCode, note, print_json, print_text
from penstock.cli.tenants import BudgetPairs, LimitPairs, Models, Tools
from penstock.ground.errors import UserError

_DAY_S = 86_400.0


class Action(StrEnum):
    """What to do."""

    LIST = "list"
    CREATE = "create"
    ROTATE = "rotate"
    REVOKE = "revoke"
    DISABLE = "disable"
    ENABLE = "enable"


Days = Annotated[float | None, typer.Option("--days", min=0, help="Days until a new key ends.")]
Overlap = Annotated[
    float,
    typer.Option("--overlap-hours", min=0, help="How long a rotated key still works beside."),
]


def command(  # noqa: PLR0913, PLR0917  one parameter an option
    action: Annotated[Action, typer.Argument(help="What to do.")] = Action.LIST,
    name: Annotated[
        str | None, typer.Argument(help="`list`, `create`: the tenant; else the key's id.")
    ] = None,
    admin: Annotated[bool, typer.Option("--admin", help="Make an admin key.")] = False,
    label: Annotated[str, typer.Option("--label", help="What the key is for.")] = "",
    days: Days = None,
    overlap_hours: Overlap = 24.0,
    models: Models = None,
    tools: Tools = None,
    limit: LimitPairs = None,
    budget: BudgetPairs = None,
    url: Url = None,
    admin_key: AdminKey = None,
    as_json: AsJson = False,
) -> int:
    """Show, make, rotate, switch off or revoke API keys.

    A new key is printed once, and can never be shown again. With --json, stdout carries what the
    admin API answers.
    """
    client = find_admin(url, admin_key)
    if action is Action.LIST:
        answer = client.ask("GET", "/keys", query={"tenant": name} if name else None)
    elif action is Action.CREATE:
        if not name and not admin:
            raise UserError("a key for whom?", fix="`penstock keys create TENANT`, or --admin")
        fields = policy_fields(models, tools, limit or [], budget or [])
        whose = {"admin": True} if admin else {"tenant": name}
        ends = {} if days is None else {"expires_in_s": days * _DAY_S}
        answer = client.ask("POST", "/keys", {**whose, **fields, **ends, "label": label})
    else:
        answer = _change(client, action, name, overlap_hours)
    _tell(answer, as_json=as_json)
    return ExitCode.OK


def _change(
    client: AdminClient, action: Action, key_id: str | None, overlap_hours: float
) -> dict[str, object]:
    if not key_id:
        raise UserError(f"which key is to {action}?", fix=f"`penstock keys {action} ID`")
    if action is Action.ROTATE:
        return client.ask("POST", f"/keys/{key_id}/rotate", {"overlap_s": overlap_hours * 3600})
    if action is Action.REVOKE:
        return client.ask("DELETE", f"/keys/{key_id}")
    return client.ask("PATCH", f"/keys/{key_id}", {"disabled": action is Action.DISABLE})


def _tell(answer: dict[str, object], *, as_json: bool) -> None:
    if as_json:
        print_json(answer)
        return
    rows = answer.get("data", [answer])
    for row in rows if isinstance(rows, list) else []:
        whose = "admin" if row["admin"] else row["tenant"]
        used = _day(row["last_used_s"]) if row["last_used_s"] else "never"
        ends = _day(row["expires_s"]) if row["expires_s"] else "never"
        print_text(
            f"{row['id']:18} {row['prefix']}... {whose!s:20} {row['state']:9} "
            f"last used {used}, ends {ends} {row['label']}"
        )
    if "secret" in answer:
        note("The key, shown this once:")
        print_text(str(answer["secret"]))


def _day(seconds: float) -> str:
    return time.strftime("%Y-%m-%d %H:%M", time.gmtime(seconds))
