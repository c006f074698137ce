"""The routes that are not hot: models, tools, health, metrics, the OpenAPI document, `/invoke`."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import TypeVar

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.exposition import CONTENT_TYPE_LATEST
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from penstock.gateway.admission import Admission
from penstock.gateway.caller import Caller
from penstock.gateway.faults import fault_of, plain_fault
from penstock.gateway.fleet import Fleet
from penstock.gateway.front import HOT_PATHS
from penstock.gateway.invoke import Invoker
from penstock.gateway.meters import Meters
from penstock.gateway.openapi import document
from penstock.gateway.ratelimits import limit_headers
from penstock.gateway.replies import (
    add_lines,
    claimed_tenant,
    fault_reply,
    json_reply,
    secret_in,
    while_connected,
)
from penstock.gateway.request_ids import new_request_id
from penstock.gateway.settings import ModelSettings
from penstock.gateway.turns import Turns
from penstock.ground.errors import NotAllowed, PenstockError, RequestError, UserError

Endpoint = Callable[[Request], Awaitable[Response]]
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Cold:
    """What the routes that are not hot need."""

    admission: Admission
    fleet: Fleet
    turns: Turns
    invoker: Invoker
    meters: Meters
    metrics: CollectorRegistry
    started_s: int
    request_timeout_s: float
    metrics_open: bool = True
    """Whether the metrics, which name all tenants, are shown without an admin key."""
    further: tuple[BaseRoute, ...] = ()
    """Routes that are there only with a registry: usage and the admin API."""

    def app(self) -> Starlette:
        """Return the ASGI application."""
        routes = [
            Route("/health", self.health),
            Route("/ready", self.ready),
            Route("/metrics", self.scrape),
            Route("/openapi.json", self.openapi),
            Route("/v1/models", self.models),
            Route("/v1/models/{name:path}", self.model),
            Route("/tools", self.tools),
            Route("/invoke", self.invoke, methods=["POST"]),
            *self.further,
            *(Route(path.decode(), _hot_only, methods=["POST"]) for path in HOT_PATHS),
        ]
        app = Starlette(routes=routes)
        app.router.redirect_slashes = False  # it would redirect to whatever host the client names
        app.add_exception_handler(PenstockError, _on_error)
        app.add_exception_handler(TimeoutError, _on_error)
        app.add_exception_handler(HTTPException, _on_http_error)
        app.add_exception_handler(ClientDisconnect, _on_disconnect)
        app.add_exception_handler(500, _on_error)
        return app

    async def health(self, request: Request) -> Response:
        """The process lives."""
        return json_reply({"status": "ok"})

    async def ready(self, request: Request) -> Response:
        """Every model has an engine that answers."""
        ready = self.fleet.is_known and self.admission.serves_all()
        state = {
            "status": "ready" if ready else "starting",
            "engines_down": self.fleet.down(),
            "circuits_open": self.fleet.broken(),
            "engines_draining": self.fleet.drained(),
        }
        return json_reply(state, status=200 if ready else 503)

    async def scrape(self, request: Request) -> Response:
        """Prometheus metrics."""
        if not self.metrics_open:
            self._admit_admin(request)
        return Response(generate_latest(self.metrics), media_type=CONTENT_TYPE_LATEST)

    async def openapi(self, request: Request) -> Response:
        """The gateway's own OpenAPI document."""
        return json_reply(document())

    async def models(self, request: Request) -> Response:
        """The models this key may use."""
        tenant = self._tenant(request)
        entries = [self._entry(model) for model in self.admission.models_of(tenant)]
        return json_reply({"object": "list", "data": entries})

    async def model(self, request: Request) -> Response:
        """One model this key may use."""
        tenant = self._tenant(request)
        name = request.path_params["name"]
        for model in self.admission.models_of(tenant):
            if model.name == name:
                return json_reply(self._entry(model))
        raise self.admission.no_such_model(tenant, name)

    async def tools(self, request: Request) -> Response:
        """The tools the gateway runs for this key's tenant."""
        return json_reply({"tools": self.turns.definitions_for(self._tenant(request))})

    async def invoke(self, request: Request) -> Response:
        """One prompt, one text."""
        caller = None
        try:
            caller = self._tenant(request)
            work = self.invoker.invoke(
                caller, await request.body(), new_request_id(), request.headers.raw
            )
            async with asyncio.timeout(self.request_timeout_s):
                invoked = await while_connected(request, work)
            reply = json_reply(invoked.answer)
            if invoked.route:
                reply.headers["x-penstock-route"] = invoked.route
        except UserError as error:
            fault = fault_of(error)
            self.meters.refuse(fault.status)
            reply = fault_reply(fault)
        if caller is not None:
            add_lines(reply, limit_headers(caller))
        return reply

    def _admit_admin(self, request: Request) -> None:
        if self.admission.admin_of(secret_in(request)) is None:
            raise NotAllowed("this address takes an admin key", fix="Send one")

    def _tenant(self, request: Request) -> Caller:
        return self.admission.identify(secret_in(request), claimed_tenant(request))

    def _entry(self, model: ModelSettings) -> dict[str, object]:
        return {
            "id": model.name,
            "object": "model",
            "created": self.started_s,
            "owned_by": "penstock",
            "parent": model.parent,
            "max_model_len": model.context,
        }


async def _on_error(request: Request, error: Exception) -> Response:
    return fault_reply(fault_of(error))


async def _on_http_error(request: Request, error: Exception) -> Response:
    status = error.status_code if isinstance(error, HTTPException) else 500
    what = {404: "there is no such address", 405: "this address takes another method"}
    message = f"{what.get(status, 'refused')}: {request.method} {request.url.path}"
    fault = fault_reply(plain_fault(status, message, "not_found" if status == 404 else "refused"))
    if isinstance(error, HTTPException) and error.headers:
        fault.headers.update(error.headers)
    return fault


async def _on_disconnect(request: Request, error: Exception) -> Response:
    return Response(status_code=499)  # nobody is there to read it


async def _hot_only(request: Request) -> Response:
    """Listed so that other methods get 405; POST never comes this way."""
    raise RequestError("this address was written in an unusual way", fix="Write it plainly.")
