"""One port for all of AWS: who signed for what service decides who answers.

The stand-in's own services come first; everything else goes to moto's backends.
"""

import io
import re
from collections.abc import Iterable
from typing import Any

from moto.moto_server.werkzeug_app import (
    DomainDispatcherApplication,
    MotoRequestHandler,
    create_backend_app,
)
from werkzeug.serving import BaseWSGIServer, make_server
from werkzeug.wrappers import Request

from penstock.rehearsal.addresses.directory import Directory
from penstock.rehearsal.cloud import INSIDE, Cloud
from penstock.rehearsal.control import Control
from penstock.rehearsal.refusals import throttled
from penstock.rehearsal.runtime.invoking import Runtime
from penstock.rehearsal.runtime.routes import route
from penstock.rehearsal.service import Answer, Service, json_refusal

SIGNED_AS = {
    "elasticloadbalancing": "elbv2",
    "monitoring": "cloudwatch",
    "servicequotas": "service-quotas",
}
"""Services that sign with another name than botocore's."""
_SCOPE = re.compile(r"Credential=[^/]+/\d+/[^/]+/([^/]+)/aws4_request")


class QuietHandler(MotoRequestHandler):
    """moto's request handler, without a line for each request."""

    def log_request(self, code: Any = "-", size: Any = "-") -> None:
        """Say nothing."""


class Front:
    """The WSGI application."""

    def __init__(
        self,
        cloud: Cloud,
        services: Iterable[Service],
        runtime: Runtime,
        control: Control,
        directory: Directory,
    ) -> None:
        self._cloud, self._runtime, self._control = cloud, runtime, control
        self._directory = directory
        self._services = {service.name: service for service in services}
        self._moto = DomainDispatcherApplication(create_backend_app)

    def __call__(self, environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        """Answer one request."""
        request = Request(environ)
        if request.path.startswith("/_rehearsal/"):
            return _send(self._control.answer(request), start_response)
        if place := self._directory.place(request):
            return _send(self._directory.answer(place, request), start_response)
        if asked := route(request.path):
            return _send(self._runtime.answer(asked, request), start_response)
        scope = _SCOPE.search(request.headers.get("Authorization", ""))
        service = SIGNED_AS.get(scope[1], scope[1]) if scope else ""
        if refused := self._struck(service, request):
            return _send(refused, start_response)
        if own := self._services.get(service):
            environ["wsgi.input"] = io.BytesIO(request.get_data(cache=True, parse_form_data=False))
            again = Request(environ)
            if own.has(own.operation(again)):
                return _send(own.answer(again), start_response)
            environ["wsgi.input"].seek(0)
        return self._moto(environ, start_response)  # type: ignore[no-any-return]

    def _struck(self, service: str, request: Request) -> Answer | None:
        if INSIDE in request.headers.get("User-Agent", ""):
            return None
        if not self._cloud.faults.take("throttling", service=service):
            return None
        own = self._services.get(service)
        return own.refusal(throttled(), request) if own else json_refusal(throttled())


def listen(front: Front, port: int) -> BaseWSGIServer:
    """Return a server on loopback at `port` (0: any free one); each request has a thread."""
    return make_server("127.0.0.1", port, front, threaded=True, request_handler=QuietHandler)


def _send(answer: Answer, start_response: Any) -> Iterable[bytes]:
    headers = dict(answer.headers)
    if isinstance(answer.body, bytes):
        headers["Content-Length"] = str(len(answer.body))
    start_response(f"{answer.status} {_reason(answer.status)}", list(headers.items()))
    return [answer.body] if isinstance(answer.body, bytes) else answer.body


def _reason(status: int) -> str:
    return "OK" if status < 400 else "Refused"
