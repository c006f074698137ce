"""A request passed on to a process on this machine, and its answer passed back as it comes."""

import http.client
from collections.abc import Iterator, Mapping

from werkzeug.wrappers import Request

from penstock.rehearsal.service import Answer

CHUNK = 65536
HOP_BY_HOP = {
    "connection", "keep-alive", "proxy-connection", "te", "trailer", "transfer-encoding",
    "upgrade", "content-length", "host",
}  # fmt: skip


class Unreachable(Exception):
    """Nothing answers at the port, or it hung up before it had answered."""


def pass_on(
    request: Request, port: int, path: str, headers: Mapping[str, str], *, timeout_s: float
) -> Answer:
    """Return what `127.0.0.1:port` answers to the request under `path`; raises Unreachable."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=timeout_s)
    sent = {k: v for k, v in request.headers.items() if k.lower() not in HOP_BY_HOP}
    query = request.query_string.decode()
    body = request.get_data(cache=True)
    try:
        connection.request(
            request.method,
            path + (f"?{query}" if query else ""),
            body or (b"" if request.method in {"POST", "PUT", "PATCH"} else None),
            {**sent, "Host": request.headers.get("Host", ""), **headers},
        )
        answer = connection.getresponse()
    except (OSError, http.client.HTTPException) as error:
        connection.close()
        raise Unreachable(str(error)) from error
    kept = {k: v for k, v in answer.getheaders() if k.lower() not in HOP_BY_HOP}
    return Answer(answer.status, kept, _chunks(answer, connection))


def _chunks(
    answer: http.client.HTTPResponse, connection: http.client.HTTPConnection
) -> Iterator[bytes]:
    try:
        while chunk := answer.read1(CHUNK):
            yield chunk
    finally:
        connection.close()
