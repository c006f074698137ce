"""A stand-in for AWS behind a real boto3: prices, quotas, spot history over a real socket."""

import json
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qsl

Answer = Callable[[str, Mapping[str, Any]], Mapping[str, Any] | str]
"""Answers one call, given by operation and body; text is sent as XML, as EC2 does."""


class Refusal(Exception):
    """Raise it in an `Answer` to refuse a call with an AWS error."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


@dataclass
class FakeAws:
    """The stand-in: its address, and what was asked of it."""

    url: str
    asked: list[tuple[str, Mapping[str, Any]]] = field(default_factory=list)


@contextmanager
def fake_aws(answer: Answer) -> Iterator[FakeAws]:
    """Answers AWS's JSON protocol until the block ends."""
    asked: list[tuple[str, Mapping[str, Any]]] = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            sent = self.rfile.read(int(self.headers["Content-Length"]))
            body: Mapping[str, Any]
            if target := self.headers.get("X-Amz-Target"):
                operation, body = target.rpartition(".")[2], json.loads(sent)
            else:
                body = dict(parse_qsl(sent.decode()))
                operation = body["Action"]
            asked.append((operation, body))
            status = 200
            try:
                told = answer(operation, body)
            except Refusal as refusal:
                status, told = 400, {"__type": refusal.code, "message": str(refusal)}
            data = (told if isinstance(told, str) else json.dumps(told)).encode()
            kind = "text/xml" if isinstance(told, str) else "application/x-amz-json-1.1"
            self.send_response(status)
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        def log_message(self, *_: object) -> None:
            """Keep the tests' output clean."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield FakeAws(f"http://127.0.0.1:{server.server_address[1]}", asked)
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def product(usd: str, unit: str = "Hrs", **attributes: str) -> str:
    """One entry of a price list, in the form that `GetProducts` answers with."""
    price = {"unit": unit, "pricePerUnit": {"USD": usd}, "description": "an hour"}
    terms = {"OnDemand": {"SKU.TERM": {"priceDimensions": {"SKU.TERM.RATE": price}}}}
    return json.dumps({"product": {"attributes": attributes}, "terms": terms})


def spot_history(*prices: tuple[str, str, str]) -> str:
    """What `DescribeSpotPriceHistory` answers: (type, zone, USD) each."""
    items = "".join(
        f"<item><instanceType>{name}</instanceType><availabilityZone>{zone}</availabilityZone>"
        f"<spotPrice>{usd}</spotPrice><productDescription>Linux/UNIX</productDescription></item>"
        for name, zone, usd in prices
    )
    return (
        '<DescribeSpotPriceHistoryResponse xmlns="http://ec2.amazonaws.com/doc/2016-11-15/">'
        f"<spotPriceHistorySet>{items}</spotPriceHistorySet><nextToken/>"
        "</DescribeSpotPriceHistoryResponse>"
    )
