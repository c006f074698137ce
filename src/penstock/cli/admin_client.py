"""How `tenants`, `keys` and `usage` reach the admin API: its address, its key, its errors.

The running stack's key lies in `.penstock/admin.key`, for its owner alone; elsewhere it comes from
`--admin-key` or PENSTOCK_ADMIN_KEY.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import httpx
import msgspec
import typer

from penstock.cli.address import find_address
from penstock.ground.errors import EngineUnavailable, NotAllowed, UserError
from penstock.ground.wording import near_names
from penstock.registry.records import Budgets, Limits
from penstock.targets.local.state import admin_key_file, find_directory

AdminKey = Annotated[
    str | None,
    typer.Option(
        "--admin-key", envvar="PENSTOCK_ADMIN_KEY", help="Admin key; else the local stack's."
    ),
]
_TIMEOUT_S = 60.0


@dataclass(frozen=True, slots=True)
class AdminClient:
    """Asks the admin API of one gateway."""

    url: str
    key: str

    def ask(
        self,
        method: str,
        path: str,
        body: object = None,
        query: dict[str, str] | None = None,
    ) -> dict[str, object]:
        """Return the answer.

        Raises:
            NotAllowed: the key is no admin key.
            UserError: the gateway refused, and says why.
            EngineUnavailable: no gateway answers.
        """
        try:
            answer = httpx.request(
                method,
                f"{self.url}/admin{path}",
                params=query,
                content=None if body is None else msgspec.json.encode(body),
                headers={"authorization": f"Bearer {self.key}"},
                timeout=_TIMEOUT_S,
                trust_env=False,
            )
        except httpx.HTTPError as error:
            raise EngineUnavailable(f"no gateway answers at {self.url}", why=str(error)) from None
        if answer.is_success:
            return msgspec.json.decode(answer.content, type=dict[str, object])
        message = _message(answer)
        if answer.status_code == 401:
            raise NotAllowed(message, fix="Give --admin-key or PENSTOCK_ADMIN_KEY")
        raise UserError(message)


def _message(answer: httpx.Response) -> str:
    try:
        return str(answer.json()["error"]["message"])
    except (ValueError, KeyError, TypeError):
        return f"the gateway answered {answer.status_code}"


def find_admin(url: str | None, key: str | None) -> AdminClient:
    """Return the admin API at `url`, or that of the stack that runs here.

    Raises:
        UserError: there is no address or no key.
    """
    here = Path.cwd()
    address = find_address(url, None, here)
    if key is None and (url is None or address.key is not None):
        try:
            key = admin_key_file(find_directory(here)).read_text(encoding="utf-8").strip()
        except OSError:
            key = None
    if not key:
        raise UserError("there is no admin key", fix="Give --admin-key or PENSTOCK_ADMIN_KEY")
    return AdminClient(address.url, key)


def policy_fields(
    models: str | None, tools: str | None, limits: list[str], budgets: list[str]
) -> dict[str, object]:
    """Return what the options of `tenants` and `keys` say, as the admin API takes it.

    Raises:
        UserError: a limit or budget is not `name=number`, or has a name that there is not.
    """
    fields: dict[str, object] = {}
    for name, text in (("models", models), ("tools", tools)):
        if text is not None:
            fields[name] = [part.strip() for part in text.split(",") if part.strip()]
    for name, pairs, kind in (("limits", limits, Limits), ("budgets", budgets, Budgets)):
        if pairs:
            fields[name] = dict(_pair(pair, name[:-1], kind.__struct_fields__) for pair in pairs)
    return fields


def _pair(text: str, kind: str, known: tuple[str, ...]) -> tuple[str, float | int | None]:
    name, _, number = text.partition("=")
    if name.strip() not in known:
        raise UserError(f"there is no {kind} {name.strip()}", fix=near_names(name, known))
    if number.strip() == "none":
        return name.strip(), None
    try:
        value = float(number)
    except ValueError:
        raise UserError(
            f"'{text}' is no setting", fix="Write it like requests_per_second=10"
        ) from None
    return name.strip(), int(value) if value.is_integer() else value
