"""The front of one gateway: every hot request enters here and leaves with an answer on its way."""

from penstock.gateway.admission import Admission, Tenant
from penstock.gateway.answer import Answer, Client
from penstock.gateway.faults import fault_of
from penstock.gateway.fields import (
    ChatRequest,
    CompletionRequest,
    ask_for_usage,
    read_chat,
    read_completion,
)
from penstock.gateway.meters import Meters
from penstock.gateway.relay import Order, Relay
from penstock.gateway.turns import Turns
from penstock.ground.errors import PenstockError

CHAT = b"/v1/chat/completions"
COMPLETIONS = b"/v1/completions"
HOT_PATHS = frozenset((CHAT, COMPLETIONS))


class Front:
    """Admits, reads, routes; then a `Relay` or a turn answers."""

    def __init__(self, admission: Admission, meters: Meters, turns: Turns) -> None:
        self._admission, self._meters, self._turns = admission, meters, turns

    def begin(self, client: Client, path: bytes, secret: bytes | None, body: bytes) -> Answer:
        """Start answering one request.

        Raises:
            PenstockError: it is refused; nothing was sent to any engine.
        """
        try:
            tenant = self._admission.admit(secret)
            if path == CHAT:
                return self._chat(client, tenant, body)
            return self._relay(client, COMPLETIONS, tenant, read_completion(body), body)
        except PenstockError as error:
            self._meters.refuse(fault_of(error).status)
            raise

    def _chat(self, client: Client, tenant: Tenant, body: bytes) -> Answer:
        request = read_chat(body)
        if tenant.tools and request.leaves_tools_to_us:
            route = self._admission.resolve(tenant, request.model)
            return self._turns.begin(client, tenant, route, request.streams, body)
        return self._relay(client, CHAT, tenant, request, body)

    def _relay(
        self,
        client: Client,
        path: bytes,
        tenant: Tenant,
        request: ChatRequest | CompletionRequest,
        body: bytes,
    ) -> Answer:
        route = self._admission.resolve(tenant, request.model)
        hide_usage = request.streams and not request.wants_usage
        order = Order(
            path=path,
            body=ask_for_usage(body, request) if hide_usage else body,
            route=route,
            meter=self._meters.of(tenant.name, route.model),
            streams=request.streams,
            hide_usage=hide_usage,
        )
        return Relay(client, order)
