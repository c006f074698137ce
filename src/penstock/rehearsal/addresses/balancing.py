"""An application load balancer: listeners, rules, healthy targets, and its own answers."""

import fnmatch
import itertools
from collections.abc import Iterable
from typing import Any

from werkzeug.wrappers import Request

from penstock.rehearsal.addresses.passing import Unreachable, pass_on
from penstock.rehearsal.cloud import Cloud
from penstock.rehearsal.containers.records import Behind, Yard
from penstock.rehearsal.service import Answer

Told = dict[str, Any]
NAMESPACE = "AWS/ApplicationELB"
SECURE = {"HTTPS": 1, "TLS": 1}


class Balancer:
    """Answers for every load balancer of the account."""

    def __init__(self, cloud: Cloud, yard: Yard) -> None:
        self._cloud, self._yard = cloud, yard
        self._turns = itertools.count()

    def answer(self, balancer: Told, port: int | None, path: str, request: Request) -> Answer:
        """Return the answer of one of its listeners: that at `port`, else the secure one."""
        listener = self._listener(balancer["LoadBalancerArn"], port)
        if listener is None:
            return _page(503, "no listener")
        action = self._action(listener, path, request)
        if action["Type"] == "fixed-response":
            wish = action["FixedResponseConfig"]
            body = wish.get("MessageBody", "").encode()
            kind = {"Content-Type": wish.get("ContentType", "text/plain")}
            return Answer(int(wish["StatusCode"]), kind, body)
        if action["Type"] == "redirect":
            return _redirect(action["RedirectConfig"], path, request)
        if action["Type"] != "forward":
            return _page(501, f"the stand-in has no action {action['Type']}")
        return self._forward(balancer, listener, action, path, request)

    def _listener(self, arn: str, port: int | None) -> Told | None:
        elb = self._cloud.client("elbv2")
        found = elb.describe_listeners(LoadBalancerArn=arn)["Listeners"]
        if port is not None:
            return next((each for each in found if each["Port"] == port), None)
        ranked = sorted(found, key=lambda each: -SECURE.get(each["Protocol"], 0))
        return ranked[0] if ranked else None

    def _action(self, listener: Told, path: str, request: Request) -> Told:
        elb = self._cloud.client("elbv2")
        rules = elb.describe_rules(ListenerArn=listener["ListenerArn"])["Rules"]
        ranked = sorted(
            (each for each in rules if not each["IsDefault"]), key=lambda e: int(e["Priority"])
        )
        for rule in ranked:
            if all(_holds(each, path, request) for each in rule["Conditions"]):
                return _last(rule["Actions"])
        return _last(listener["DefaultActions"])

    def _forward(
        self, balancer: Told, listener: Told, action: Told, path: str, request: Request
    ) -> Answer:
        groups = action.get("ForwardConfig", {}).get("TargetGroups") or [action]
        behind = self._yard.behind.get(groups[0]["TargetGroupArn"], {})
        healthy = [each for each in list(behind.values()) if each.task.health == "HEALTHY"]
        if not healthy:
            self._count(balancer, "HTTPCode_ELB_5XX_Count")
            return _page(503, "Service Temporarily Unavailable")
        target = healthy[next(self._turns) % len(healthy)]
        if not target.real_port:
            return _page(502, "the stand-in does not run this image, it only marks it as running")
        self._count(balancer, "RequestCount")
        return self._pass(balancer, listener, target, path, request)

    def _pass(
        self, balancer: Told, listener: Told, target: Behind, path: str, request: Request
    ) -> Answer:
        elb = self._cloud.client("elbv2")
        told = elb.describe_load_balancer_attributes(LoadBalancerArn=balancer["LoadBalancerArn"])
        attributes = {each["Key"]: each["Value"] for each in told["Attributes"]}
        idle_s = float(attributes.get("idle_timeout.timeout_seconds", 60))
        headers = {
            "X-Forwarded-For": request.remote_addr or "127.0.0.1",
            "X-Forwarded-Proto": listener["Protocol"].lower(),
            "X-Forwarded-Port": str(listener["Port"]),
        }
        try:
            answer = pass_on(request, target.real_port, path, headers, timeout_s=idle_s)
        except Unreachable:
            self._count(balancer, "HTTPCode_ELB_5XX_Count")
            return _page(502, "Bad Gateway")
        self._count(balancer, f"HTTPCode_Target_{answer.status // 100}XX_Count")
        return answer

    def _count(self, balancer: Told, name: str) -> None:
        full = balancer["LoadBalancerArn"].partition("loadbalancer/")[2]
        self._cloud.metrics.put(NAMESPACE, name, {"LoadBalancer": full}, 1)


def _holds(condition: Told, path: str, request: Request) -> bool:
    field = condition["Field"]
    config: Told = next((v for k, v in condition.items() if k.endswith("Config")), {})
    values: Iterable[str] = config.get("Values") or condition.get("Values") or ()
    if field == "path-pattern":
        seen = path
    elif field == "host-header":
        seen = request.host.lower()
    elif field == "http-request-method":
        seen = request.method
    elif field == "http-header":
        seen = request.headers.get(config["HttpHeaderName"], "")
    else:
        return False
    return any(fnmatch.fnmatchcase(seen, each) for each in values)


def _last(actions: list[Told]) -> Told:
    return sorted(actions, key=lambda each: each.get("Order", 1))[-1]


def _redirect(wish: Told, path: str, request: Request) -> Answer:
    host = wish.get("Host", "#{host}").replace("#{host}", request.host.partition(":")[0])
    scheme = wish.get("Protocol", "HTTPS").lower()
    where = wish.get("Path", "/#{path}").replace("/#{path}", path)
    place = f"{scheme}://{host}:{wish.get('Port', '443')}{where}"
    status = int(wish["StatusCode"].removeprefix("HTTP_"))
    return Answer(status, {"Location": place}, b"")


def _page(status: int, words: str) -> Answer:
    return Answer(status, {"Content-Type": "text/html"}, f"<h1>{status} {words}</h1>\n".encode())
