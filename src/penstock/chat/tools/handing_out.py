"""What every kind of source does alike: secrets found, tools named and fenced for a tenant."""

from collections.abc import Collection, Iterable, Mapping, Sequence

from penstock.chat.ports import Tool
from penstock.chat.sources import shown_name
from penstock.chat.tools.described import SourceSettings, TenantAccess
from penstock.chat.tools.tenant_tool import Isolation, TenantTool
from penstock.ground.errors import UserError

_NONE = TenantAccess()


def secret_of(told: SourceSettings, tenant: str, environment: Mapping[str, str]) -> str | None:
    """Return the credential of `tenant` at the source; none if it needs none.

    Raises:
        UserError: the environment variable is not set.
    """
    variable = told.tenants.get(tenant, _NONE).secret_env or told.secret_env
    if variable is None:
        return None
    if not (secret := environment.get(variable)):
        raise UserError(
            f"the tools of {told.name} need a credential",
            why=f"the environment variable {variable} is not set",
            fix=f"Set it: export {variable}=...",
        )
    return secret


def credentials(told: SourceSettings, secret: str | None) -> dict[str, str]:
    """Return the headers that carry `secret`."""
    if secret is None:
        return {}
    bearer = told.header.lower() == "authorization" and " " not in secret
    return {told.header: f"Bearer {secret}" if bearer else secret}


def check_secrets(told: SourceSettings, environment: Mapping[str, str]) -> None:
    """Fail now rather than at a tenant's first call; raises as `secret_of` does."""
    for tenant in ("", *told.tenants):
        secret_of(told, tenant, environment)


def fenced(told: SourceSettings, tenant: str, tools: Iterable[Tool]) -> Sequence[Tool]:
    """Return `tools` with what is set for `tenant`, and with its isolation checked."""
    given = {**told.arguments, **told.tenants.get(tenant, _NONE).arguments}
    arguments = {name: value.replace("{tenant}", tenant) for name, value in given.items()}
    isolation = None
    if told.isolation is not None:
        isolation = Isolation(told.isolation, arguments.get(told.isolation, tenant))
    if not arguments and isolation is None:
        return tuple(tools)
    return tuple(TenantTool(tool, tool.name, arguments, isolation) for tool in tools)


def awaiting(told: SourceSettings) -> frozenset[str]:
    """Return the tools whose calls wait for approval, under the names the model sees."""
    return frozenset("*" if name == "*" else shown_name(told.name, name) for name in told.approve)


def check_approve(told: SourceSettings, names: Collection[str]) -> None:
    """Look whether `approve` names tools that there are: a slip would run what was to wait.

    Raises:
        UserError: it does not.
    """
    if strangers := sorted(awaiting(told) - {"*", *names}):
        raise UserError(
            f"{told.name} has no tool {', '.join(strangers)}, which is to wait for approval",
            fix=f"There are: {', '.join(names)}",
            where=f"tools.{told.name}.approve",
        )
