"""Tools written in Python by others, found as entry points of the group `penstock.tools`.

    [project.entry-points."penstock.tools"]
    crm = "acme.tools:make"

`make(tenant, secret)` returns the tools of one tenant: an iterable of `chat.ports.Tool`.
"""

from collections.abc import Mapping, Sequence
from importlib.metadata import entry_points

from penstock.chat.ports import Tool
from penstock.chat.sources import TenantSource
from penstock.chat.tools.described import SourceSettings
from penstock.chat.tools.handing_out import awaiting, check_secrets, fenced, secret_of
from penstock.chat.tools.tenant_tool import TenantTool
from penstock.ground.errors import UserError

GROUP = "penstock.tools"


def make_source(told: SourceSettings, environment: Mapping[str, str]) -> TenantSource:
    """Return the source; its module is imported now.

    Raises:
        UserError: no such entry point is installed, or a credential is missing.
    """
    found = [entry for entry in entry_points(group=GROUP) if entry.name == told.python]
    if not found:
        names = ", ".join(sorted(entry.name for entry in entry_points(group=GROUP))) or "none"
        raise UserError(
            f"no package brings the tools '{told.python}'",
            why=f"installed entry points of {GROUP}: {names}",
            fix="Install the package beside Penstock.",
        )
    factory = found[0].load()
    check_secrets(told, environment)

    def make(tenant: str) -> Sequence[Tool]:
        tools = factory(tenant, secret_of(told, tenant, environment))
        named = [TenantTool(tool, f"{told.name}_{tool.name}") for tool in tools]
        return fenced(told, tenant, named)

    return TenantSource(told.name, make, awaiting(told))
