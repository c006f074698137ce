"""What the rehearsal's user may order: faults, time, an inventory, things of somebody else."""

import json
from collections.abc import Callable
from typing import Any

from werkzeug.wrappers import Request

from penstock.rehearsal.cloud import Cloud
from penstock.rehearsal.refusals import AwsError
from penstock.rehearsal.service import Answer, json_refusal

Order = Callable[[dict[str, Any]], Any]


class Control:
    """The routes below `/_rehearsal/`."""

    def __init__(self, cloud: Cloud, inventory: Callable[[], Any]) -> None:
        self._cloud = cloud
        self._orders: dict[tuple[str, str], Order] = {
            ("POST", "faults"): self._order_fault,
            ("DELETE", "faults"): self._clear_faults,
            ("POST", "clock"): self._advance,
            ("GET", "clock"): lambda _: {"now_s": cloud.clock(), "scale": cloud.clock.scale},
            ("GET", "inventory"): lambda _: inventory(),
        }

    def add(self, method: str, name: str, order: Order) -> None:
        """Offer one more order."""
        self._orders[method, name] = order

    def answer(self, request: Request) -> Answer:
        """Carry out an order."""
        name = request.path.removeprefix("/_rehearsal/")
        order = self._orders.get((request.method, name))
        if order is None:
            return json_refusal(AwsError("NotFound", f"no {request.method} {name}", status=404))
        try:
            wish = json.loads(request.get_data() or b"{}")
            said = order(wish)
        except AwsError as error:
            return json_refusal(error)
        except ValueError as error:
            return json_refusal(AwsError("BadRequest", str(error)))
        return Answer(200, {"Content-Type": "application/json"}, json.dumps(said).encode())

    def _order_fault(self, wish: dict[str, Any]) -> Any:
        return {"ordered": self._cloud.faults.order(wish).kind}

    def _clear_faults(self, _: dict[str, Any]) -> Any:
        self._cloud.faults.clear()
        return {}

    def _advance(self, wish: dict[str, Any]) -> Any:
        self._cloud.clock.advance(float(wish["advance_s"]))
        return {"now_s": self._cloud.clock()}
