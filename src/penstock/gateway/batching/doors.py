"""What the routes of files and of batches have in common: who asks, and whether it can be."""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from functools import partial

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from penstock.gateway.admission import Admission
from penstock.gateway.caller import Caller
from penstock.gateway.replies import claimed_tenant, secret_in
from penstock.ground.errors import RequestError, StoreUnavailable
from penstock.registry.batches.records import ID

Action = Callable[[Request, Caller], Awaitable[Response]]
PATHS: Mapping[str, tuple[str, ...]] = {
    "/v1/files": ("GET", "POST"),
    "/v1/files/{id}": ("GET", "DELETE"),
    "/v1/files/{id}/content": ("GET",),
    "/v1/batches": ("GET", "POST"),
    "/v1/batches/{id}": ("GET",),
    "/v1/batches/{id}/cancel": ("POST",),
}


@dataclass(frozen=True, slots=True)
class Guard:
    """Lets in who has a tenant's key, at the tenant's rate, while files can be kept."""

    admission: Admission
    trouble: Callable[[], str]

    def routes(self, actions: Mapping[tuple[str, str], Action]) -> list[BaseRoute]:
        """Return a route for each path; `actions` are by method and path."""
        found: dict[str, dict[str, Action]] = {}
        for (method, path), action in actions.items():
            found.setdefault(path, {})[method] = action
        return [
            Route(path, partial(self._answer, by_method), methods=list(by_method))
            for path, by_method in found.items()
        ]

    async def _answer(self, by_method: Mapping[str, Action], request: Request) -> Response:
        caller = self.admission.identify(secret_in(request), claimed_tenant(request))
        self.admission.admit_aside(caller)
        if trouble := self.trouble():
            raise StoreUnavailable("files and batches cannot be had now", why=trouble)
        method = "GET" if request.method == "HEAD" else request.method
        return await by_method[method](request, caller)


def id_in(request: Request) -> str:
    """Return the id in an address.

    Raises:
        RequestError: nothing is ever called so.
    """
    found = str(request.path_params["id"])
    if not ID.fullmatch(found):
        raise not_there(found)
    return found


def not_there(name: str) -> RequestError:
    """Return the error for what is not there, or another's: nobody can tell which."""
    return RequestError(f"there is nothing called {name[:100]!r}", param="id", code="not_found")


def closed(admission: Admission) -> list[BaseRoute]:
    """Return the routes of a gateway that keeps no files: they say so."""

    async def refuse(request: Request) -> Response:
        admission.identify(secret_in(request), claimed_tenant(request))
        raise RequestError(
            "this gateway keeps no files and runs no batches",
            why="it has no place for them",
            fix="Ask your operator to set `batches.to` in the manifest.",
            code="batches_off",
        )

    return [Route(path, refuse, methods=list(methods)) for path, methods in PATHS.items()]
