"""Which host is whose: names of load balancers and APIs, and records that point at them.

A client reaches a name by `http://<stand-in>/_at/<name>[:port]/path`, or by its `Host` header.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from werkzeug.wrappers import Request

from penstock.rehearsal.addresses.balancing import Balancer
from penstock.rehearsal.addresses.rest import RestApis
from penstock.rehearsal.cloud import Cloud
from penstock.rehearsal.service import Answer

AT = "/_at/"
_PLACE = re.compile(r"/_at/(?P<host>[^/:]+)(?::(?P<port>\d+))?(?P<path>/.*|$)")


@dataclass(frozen=True, slots=True)
class Place:
    """A host, the port that was asked for, and the path there."""

    host: str
    port: int | None
    path: str


class Directory:
    """Finds who answers for a host."""

    def __init__(self, cloud: Cloud, balancer: Balancer, apis: RestApis) -> None:
        self._cloud, self._balancer, self._apis = cloud, balancer, apis

    def place(self, request: Request) -> Place | None:
        """Return where a request goes, when it is for a host of the rehearsed account."""
        if found := _PLACE.match(request.path):
            asked = int(found["port"]) if found["port"] else None
            return Place(found["host"].lower(), asked, found["path"] or "/")
        host, _, port = request.host.partition(":")
        if host in {"127.0.0.1", "localhost"} or host.endswith(".localhost"):
            return None
        if self._of(host.lower()) is None:
            return None
        return Place(host.lower(), int(port) if port else None, request.path)

    def answer(self, place: Place, request: Request) -> Answer:
        """Answer a request for a host of the account."""
        found = self._of(place.host)
        if found is None:
            words = f"no load balancer, API or record has the name {place.host}\n"
            return Answer(404, {"Content-Type": "text/plain"}, words.encode())
        return found(place, request)

    def everything(self, _: Any = None) -> dict[str, str]:
        """Return the base URL on this machine of every host."""
        names = [each["DNSName"] for each in self._balancers()]
        names += [self._apis.host(each) for each in self._apis.ids()]
        names += [name for name, aim in self._records().items() if self._of(aim)]
        return {name: f"{self._cloud.url}{AT}{name}" for name in names}

    def _of(self, host: str) -> Callable[[Place, Request], Answer] | None:
        host = self._records().get(host, host)
        for each in self._balancers():
            if each["DNSName"].lower() == host:
                return lambda place, request: self._balancer.answer(
                    each, place.port, place.path, request
                )
        if (api := host.partition(".")[0]) in self._apis.ids():
            return lambda place, request: self._apis.answer(api, place.path, request)
        return None

    def _balancers(self) -> list[dict[str, Any]]:
        found = self._cloud.client("elbv2").describe_load_balancers()
        return list(found["LoadBalancers"])

    def _records(self) -> dict[str, str]:
        """Return what each name of Route 53 points at."""
        dns, found = self._cloud.client("route53"), {}
        for zone in dns.list_hosted_zones()["HostedZones"]:
            told = dns.list_resource_record_sets(HostedZoneId=zone["Id"])
            for each in told["ResourceRecordSets"]:
                aim = each.get("AliasTarget", {}).get("DNSName", "")
                if not aim and each["Type"] == "CNAME":
                    aim = each["ResourceRecords"][0]["Value"]
                if aim:
                    found[_bare(each["Name"])] = _bare(aim).removeprefix("dualstack.")
        return found


def _bare(name: str) -> str:
    return name.rstrip(".").lower()
