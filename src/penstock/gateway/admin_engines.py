"""The engines in the admin API: what each is doing, and draining one before it is stopped.

Drained is an engine for this gateway process alone, and until it stops: with several gateways each
must be told.
"""

from collections.abc import Awaitable, Callable

from starlette.requests import Request
from starlette.responses import Response

from penstock.gateway.fleet import Engine, Fleet
from penstock.gateway.replies import json_reply
from penstock.ground.errors import RequestError

_Action = Callable[[Request], Awaitable[Response]]


def engine_actions(fleet: Fleet) -> tuple[tuple[str, str, _Action, None], ...]:
    """Return path, method, action and body (none) of each operation."""

    async def list_engines(request: Request) -> Response:
        """All engines: health, circuit, work."""
        return json_reply({"data": [_shown(engine) for engine in fleet]})

    async def drain_engine(request: Request) -> Response:
        """Give an engine no new requests; those it has are finished."""
        return _drain(fleet, request, on=True)

    async def resume_engine(request: Request) -> Response:
        """Give a drained engine requests again."""
        return _drain(fleet, request, on=False)

    return (
        ("/admin/engines", "GET", list_engines, None),
        ("/admin/engines/{name}/drain", "POST", drain_engine, None),
        ("/admin/engines/{name}/resume", "POST", resume_engine, None),
    )


def _drain(fleet: Fleet, request: Request, *, on: bool) -> Response:
    name = str(request.path_params["name"])
    engine = fleet.find(name)
    if engine is None:
        names = ", ".join(each.name for each in fleet)
        raise RequestError(
            f"there is no engine {name[:100]!r}", fix=f"There are: {names}", code="not_found"
        )
    engine.drain(on=on)
    return json_reply(_shown(engine))


def _shown(engine: Engine) -> dict[str, object]:
    return {
        "name": engine.name,
        "up": engine.up,
        "draining": engine.draining,
        "circuit": engine.breaker.state.name.lower(),
        "outstanding": engine.pool.outstanding,
        "foreign": engine.work.foreign,
        "usable": engine.usable,
    }
