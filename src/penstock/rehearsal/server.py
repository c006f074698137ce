"""One port for all of AWS: who signed for what service decides who answers.

The stand-in's own services come first; everything else goes to moto's backends.
"""

import io
import re
from collections.abc import Iterable
from typing import Any

from botocore.exceptions import UnknownServiceError
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
from penstock.rehearsal.permissions.watch import Watch
from penstock.rehearsal.refusals import AwsError, forbidden, throttled
from penstock.rehearsal.runtime.invoking import Runtime
from penstock.rehearsal.runtime.routes import route
from penstock.rehearsal.service import Answer, Service, protocol_of, refusal_in

SIGNED_AS = {
    "elasticloadbalancing": "elbv2",
    "monitoring": "cloudwatch",
    "servicequotas": "service-quotas",
}
"""Services that sign with another name than botocore's."""
_SIGNER = re.compile(r"Credential=([^/]+)/")
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
        watch: Watch,
    ) -> None:
        self._cloud, self._runtime, self._control = cloud, runtime, control
        self._directory, self._watch = directory, watch
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
        held = request.get_data(cache=True, parse_form_data=False)
        if refused := self._refused(service, _again(environ, held)):
            return _send(refused, start_response)
        own = self._services.get(service)
        again = _again(environ, held)
        if own and own.has(own.operation(again)):
            self._cloud.signing.key = _signer(request)
            return _send(own.answer(again), start_response)
        environ["wsgi.input"] = io.BytesIO(held)
        return self._moto(environ, start_response)  # type: ignore[no-any-return]

    def _refused(self, service: str, request: Request) -> Answer | None:
        """Return why a client's request is not carried out: a fault, or what IAM says."""
        if INSIDE in request.headers.get("User-Agent", "") or not service:
            return None
        try:
            protocol = protocol_of(service, request)
        except UnknownServiceError:
            return None
        if self._cloud.faults.take("throttling", service=service):
            return refusal_in(protocol, throttled(service))
        if self._cloud.enforces:
            try:
                self._watch.check(service, request)
            except AwsError as error:
                return refusal_in(protocol, forbidden(service, protocol, error))
        return None


def _again(environ: dict[str, Any], held: bytes) -> Request:
    environ["wsgi.input"] = io.BytesIO(held)
    environ.pop("werkzeug.request", None)
    return Request(environ)


def _signer(request: Request) -> str:
    found = _SIGNER.search(request.headers.get("Authorization", ""))
    return found[1] if found else ""


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
