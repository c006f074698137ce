"""HTTP operations as tools, over a transport that shows what was sent."""

import json
from collections.abc import Callable
from typing import Any

import httpx
import pytest

from penstock.chat.tools.described import Operation, Place
from penstock.chat.tools.http_tool import Access, HttpTool
from penstock.ground.errors import ToolError

SECRET = {"authorization": "Bearer s3cret"}
Handler = Callable[[httpx.Request], httpx.Response]


def tool(
    handler: Handler, method: str = "GET", path: str = "/c/{id}", **places: Place
) -> HttpTool:
    client = httpx.AsyncClient(transport=httpx.MockTransport(handler))
    access = Access(client, "https://api.example.com/v1/", SECRET)
    operation = Operation("crm_get", "Get", method, path, {"type": "object"}, dict(places))
    return HttpTool(operation, access)


def keeping(asked: list[httpx.Request], **answer: Any) -> Handler:
    def handle(request: httpx.Request) -> httpx.Response:
        asked.append(request)
        return httpx.Response(200, **(answer or {"json": {"ok": True}}))

    return handle


async def test_every_argument_goes_to_its_place() -> None:
    asked: list[httpx.Request] = []
    made = tool(
        keeping(asked), "POST", id="path", q="query", tag="query", note="body", x_trace="header"
    )
    arguments = {
        "id": "a/b?c", "q": "x&y=1", "tag": ["u", "v"], "note": "n", "x_trace": "t", "odd": 1
    }  # fmt: skip
    assert await made.call(arguments) == {"ok": True}
    (request,) = asked
    assert str(request.url) == ("https://api.example.com/v1/c/a%2Fb%3Fc?q=x%26y%3D1&tag=u&tag=v")
    assert json.loads(request.content) == {"note": "n"}
    assert request.headers["x_trace"] == "t"
    assert request.headers["authorization"] == "Bearer s3cret"
    assert not made.idempotent


@pytest.mark.parametrize("value", ["..", ".", "", "../.."])
async def test_a_value_cannot_leave_its_segment(value: str) -> None:
    asked: list[httpx.Request] = []
    made = tool(keeping(asked), id="path")
    if "/" in value:
        await made.call({"id": value})
        assert asked[0].url.raw_path == b"/v1/c/..%2F.."
    else:
        with pytest.raises(ToolError):
            await made.call({"id": value})
        assert asked == []


async def test_a_value_cannot_add_a_header() -> None:
    with pytest.raises(ToolError, match="printable"):
        await tool(keeping([]), h="header").call({"h": "a\r\nx: y"})


async def test_the_model_cannot_replace_the_secret() -> None:
    asked: list[httpx.Request] = []
    await tool(keeping(asked), authorization="header").call({"authorization": "Bearer mine"})
    assert asked[0].headers["authorization"] == "Bearer s3cret"


async def test_a_body_may_be_one_argument() -> None:
    asked: list[httpx.Request] = []
    await tool(keeping(asked), "POST", "/c", body="body").call({"body": [1, 2]})
    assert json.loads(asked[0].content) == [1, 2]


@pytest.mark.parametrize(
    ("answer", "what"),
    [
        ({"status_code": 404, "text": "no such"}, "answered 404"),
        ({"status_code": 200, "content": b"x" * 1_048_577}, "larger"),
        ({"status_code": 200, "content": b"\x00\xff", "headers": {"content-type": "image/png"}},
         "image/png"),
        ({"status_code": 200, "content": b"x", "headers": {"content-encoding": "br"}}, "packed"),
        ({"status_code": 302, "headers": {"location": "http://169.254.169.254/"}}, "elsewhere"),
        ({"status_code": 302, "headers": {"location": "http://api.example.com/v1"}}, "elsewhere"),
        ({"status_code": 307, "headers": {"location": "/v1/again"}}, "too often"),
    ],
)  # fmt: skip
async def test_hostile_answers_become_errors(answer: dict[str, Any], what: str) -> None:
    made = tool(lambda request: httpx.Response(**answer), id="path")
    with pytest.raises(ToolError, match=what) as caught:
        await made.call({"id": "1"})
    assert "s3cret" not in str(caught.value)


async def test_a_redirect_within_the_service_is_followed() -> None:
    def handle(request: httpx.Request) -> httpx.Response:
        if request.url.path == "/v1/c/1":
            return httpx.Response(307, headers={"location": "/v1/c/one"})
        return httpx.Response(200, json=[request.url.path, request.headers["authorization"]])

    assert await tool(handle, id="path").call({"id": "1"}) == ["/v1/c/one", "Bearer s3cret"]


@pytest.mark.parametrize(
    ("content", "kind", "result"),
    [
        (b"", "", {"status": 200}),
        (b"plain", "text/plain; charset=utf-8", {"text": "plain"}),
        (b"[1]", "text/html", [1]),
        (b"\xff", "text/plain", {"text": "\ufffd"}),
    ],
)
async def test_what_is_no_json_is_told_as_text(content: bytes, kind: str, result: object) -> None:
    def handle(request: httpx.Request) -> httpx.Response:
        return httpx.Response(200, content=content, headers={"content-type": kind})

    assert await tool(handle, id="path").call({"id": "1"}) == result


@pytest.mark.parametrize("error", [httpx.ReadTimeout("x"), httpx.ConnectError("secret-host")])
async def test_a_failing_network_is_worth_a_second_try(error: httpx.HTTPError) -> None:
    def handle(request: httpx.Request) -> httpx.Response:
        raise error

    with pytest.raises(ToolError) as caught:
        await tool(handle, id="path").call({"id": "1"})
    assert caught.value.transient
    assert "secret-host" not in str(caught.value)
