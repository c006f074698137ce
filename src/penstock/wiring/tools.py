"""The tools of a gateway, and the turns that use them."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from penstock.chat.continuation import Ledger
    from penstock.chat.sources import Toolboxes
    from penstock.gateway.charges import Charges
    from penstock.gateway.settings import Settings
    from penstock.gateway.turns import Turns


def open_tools(
    settings: Settings, charges: Charges, ledger: Ledger | None
) -> tuple[Toolboxes, Turns]:
    """Return the toolboxes of all tenants, not connected yet, and the turns over them."""
    from penstock.chat.tools.kinds import make_toolboxes
    from penstock.gateway.turns import Turns

    tools = settings.tools
    toolboxes = make_toolboxes(tools.sources, os.environ, tools.weather_url, tools.database)
    return toolboxes, Turns(settings, toolboxes, charges, ledger)
