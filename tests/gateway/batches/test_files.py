"""`/v1/files`: whose they are, how large, how long, under which names."""

import io
import json
import os
import socket
import sqlite3
from collections.abc import Iterator
from contextlib import ExitStack, closing
from pathlib import Path
from typing import Any

import httpx
import openai
import psutil
import pytest
from tests.fakes.counting_engine import counting_engine
from tests.fakes.gateway_engine import wait_until
from tests.gateway.batches.batch_gateway import (
    batch_settings,
    line,
    rows,
    start,
    upload,
    wait_for,
)
from tests.gateway.gateway_process import ALICE, BOB, GatewayProcess, settings_for
from tests.gateway.test_injection import HOSTILE

NAMES = ("../../etc/passwd", "..\\..\\boot.ini", "/etc/shadow", "%2e%2e%2fx", "<script>",
         "'; DROP TABLE x; --", "a\u202eb", "x" * 500, "\U0001d510.jsonl")  # fmt: skip
HOSTILE_IDS = ("..%2f..%2fr.db", "%2e%2e", "file-", "file-" + "0" * 25, "file-" + "G" * 24, "%00",
               "penstock-files", "'%20OR%20'1'='1", "file-" + "0" * 23 + "%0a")  # fmt: skip


@pytest.fixture(scope="module", params=["sqlite", "postgresql"])
def gateway(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[GatewayProcess]:
    folder = tmp_path_factory.mktemp("files")
    url = str(folder / "r.db")
    if request.param == "postgresql":
        url = request.getfixturevalue("server").make("files")
    with counting_engine() as engine:
        bounds = {"max_file_bytes": 100_000, "quota_bytes": 150_000, "share": 1.0}
        settings = batch_settings({"engine": engine.url}, folder, url, **bounds)
        with GatewayProcess(settings) as process:
            process.files = folder / "files"  # type: ignore[attr-defined]
            yield process


def send(gateway: GatewayProcess, key: str = ALICE, **form: Any) -> httpx.Response:
    """Upload with whatever form."""
    headers = {"authorization": f"Bearer {key}"}
    return httpx.post(f"{gateway.url}/v1/files", headers=headers, timeout=60, **form)


def form(name: str = "in.jsonl", data: bytes = b"{}", **fields: str) -> dict[str, Any]:
    return {"files": {"file": (name, io.BytesIO(data))}, "data": {"purpose": "batch", **fields}}


def life(**fields: str) -> dict[str, Any]:
    """A form with fields that are no names of Python."""
    told = form()
    told["data"] |= {f"expires_after[{name}]": value for name, value in fields.items()}
    return told


PART = b'--b\r\ncontent-disposition: form-data; name="file"; filename="x"\r\n\r\n{}\r\n--b--\r\n'
URL_ENCODED = "application/x-www-form-urlencoded"


def raw_form(content: bytes, more: str = "") -> dict[str, Any]:
    """A body that no client would send."""
    kind = f"multipart/form-data; boundary=b{more}"
    return {"content": content, "headers": {"content-type": kind}}


def code_of(answer: httpx.Response) -> tuple[int, str]:
    return answer.status_code, answer.json()["error"]["code"]


def test_what_was_uploaded_comes_back(gateway: GatewayProcess) -> None:
    client = gateway.sdk()
    data = os.urandom(70_000)
    file = client.files.create(file=("a.jsonl", data), purpose="batch")
    assert (file.object, file.bytes, file.filename, file.purpose) == (
        "file", 70_000, "a.jsonl", "batch")  # fmt: skip
    assert client.files.content(file.id).content == data
    assert client.files.retrieve(file.id) == file
    life_s = (file.expires_at or 0) - file.created_at
    assert life_s in (2_591_999, 2_592_000, 2_592_001)
    assert client.files.delete(file.id).deleted
    for ask in (client.files.retrieve, client.files.content, client.files.delete):
        with pytest.raises(openai.NotFoundError):
            ask(file.id)
    short = client.files.create(
        file=("a.jsonl", b"{}"),
        purpose="batch",
        expires_after={"anchor": "created_at", "seconds": 3600},
    )
    assert (short.expires_at or 0) - short.created_at in (3599, 3600, 3601)
    client.files.delete(short.id)


def test_lists_come_in_pages(gateway: GatewayProcess) -> None:
    client = gateway.sdk()
    ids = [client.files.create(file=(f"{n}", b"{}"), purpose="batch").id for n in range(5)]
    assert [file.id for file in client.files.list(limit=2)] == ids[::-1]
    assert [file.id for file in client.files.list(limit=2, order="asc")] == ids
    first = client.files.list(limit=2)
    assert first.has_more
    assert [file.id for file in client.files.list(purpose="batch_output")] == []
    assert [file.id for file in client.files.list(after=ids[1], order="desc")] == [ids[0]]
    for query, code in (("limit=0", "invalid_value"), ("limit=x", "invalid_value"),
                        ("order=up", "invalid_value"), ("page=2", "unknown_parameter"),
                        ("limit=²", "invalid_value")):  # fmt: skip
        answer = gateway.get(f"/v1/files?{query}")
        assert code_of(answer) == (400, code), query
    for file_id in ids:
        client.files.delete(file_id)


def test_another_tenants_file_is_not_there(gateway: GatewayProcess) -> None:
    mine, other = gateway.sdk(ALICE), gateway.sdk(BOB)
    file_id = upload(mine, [line("a")])
    for ask in (other.files.retrieve, other.files.content, other.files.delete):
        with pytest.raises(openai.NotFoundError):
            ask(file_id)
    with pytest.raises(openai.NotFoundError):
        other.batches.create(input_file_id=file_id, endpoint="/v1/chat/completions",
                             completion_window="24h")  # fmt: skip
    assert list(other.files.list()) == []
    mine.files.delete(file_id)


def test_forms_that_are_refused(gateway: GatewayProcess) -> None:
    two = [("file", ("a", b"{}")), ("file", ("b", b"{}"))]
    cases: tuple[tuple[dict[str, Any], str], ...] = (
        (form(purpose="fine-tune"), "invalid_purpose"),
        ({"files": {"file": ("a", b"{}")}}, "invalid_purpose"),
        ({"data": {"purpose": "batch"}}, "missing_parameter"),
        ({"json": {"purpose": "batch"}}, "missing_parameter"),
        (form(tenant="bob"), "unknown_parameter"),
        (form(data=b""), "invalid_value"),
        ({"files": two, "data": {"purpose": "batch"}}, "invalid_form"),
        (form(purpose="b" * 10_000), "invalid_form"),
        ({"content": b"--x", "headers": {"content-type": "multipart/form-data"}}, "invalid_form"),
        (raw_form(PART, "; charset=undefined"), "invalid_form"),
        (raw_form(b"--b\r\nx: " + b"y" * 50_000 + b"\r\n\r\n"), "invalid_form"),
        (raw_form(b"--b\r\n" + b"x: y\r\n" * 5_000 + b"\r\n"), "invalid_form"),
        (raw_form(b"--b!\r\n"), "invalid_form"),
        (raw_form(PART.removesuffix(b"\r\n--b--\r\n")), "missing_parameter"),
        ({"content": b"a=1&" * 20_000, "headers": {"content-type": URL_ENCODED}}, "invalid_form"),
        (life(seconds="1", anchor="created_at"), "invalid_value"),
        (life(seconds="nan", anchor="created_at"), "invalid_value"),
        (life(seconds="9999"), "invalid_value"),
        (life(seconds="9999", anchor="last_active_at"), "invalid_value"),
    )  # fmt: skip
    for told, code in cases:
        headers = {"x-api-key": ALICE, **told.pop("headers", {})}
        answer = httpx.post(f"{gateway.url}/v1/files", headers=headers, **told, timeout=60)
        assert code_of(answer) == (400, code), answer.text
    assert list(gateway.sdk().files.list()) == []
    assert "boundary" not in gateway.log, "whoever uploads could fill it"


def test_names_are_only_names(gateway: GatewayProcess) -> None:
    client = gateway.sdk()
    folder: Path = gateway.files  # type: ignore[attr-defined]
    for name in NAMES:
        answer = send(gateway, **form(name=name))
        if answer.status_code == 400:
            assert "u202e" in ascii(name)
            continue
        told = answer.json()
        assert told["filename"] == name[:255].replace("\\", "\\")
        assert (folder / "files" / told["id"]).read_bytes() == b"{}"
        assert client.files.delete(told["id"]).deleted
    found = {path.relative_to(folder).parts[0] for path in folder.rglob("*")}
    assert found <= {"files", "penstock-files", "parts"}
    assert (folder.stat().st_mode & 0o077, (folder / "files").stat().st_mode & 0o077) == (0, 0)


@pytest.mark.parametrize("name", HOSTILE_IDS)
def test_ids_lead_nowhere_else(gateway: GatewayProcess, name: str) -> None:
    for method, path in (("GET", "files/{}"), ("GET", "files/{}/content"), ("DELETE", "files/{}"),
                         ("GET", "batches/{}"), ("POST", "batches/{}/cancel"),
                         ("GET", "files?after={}"), ("GET", "batches?after={}")):  # fmt: skip
        url = f"{gateway.url}/v1/{path.format(name)}"
        answer = httpx.request(method, url, headers={"x-api-key": ALICE}, timeout=60)
        assert code_of(answer) in ((404, "not_found"), (400, "invalid_value")), (url, answer.text)
        assert "penstock_" not in answer.text


def test_sizes_are_bounded(gateway: GatewayProcess) -> None:
    client = gateway.sdk()
    assert code_of(send(gateway, **form(data=b"x" * 200_000))) == (413, "body_too_large")
    first = send(gateway, **form(data=b"x" * 90_000))
    assert first.is_success
    assert code_of(send(gateway, **form(data=b"x" * 90_000))) == (400, "storage_quota_exceeded")
    assert send(gateway, BOB, **form(data=b"x" * 90_000)).is_success, "it is a quota each"
    client.files.delete(first.json()["id"])
    again = send(gateway, **form(data=b"x" * 90_000))
    assert again.is_success
    client.files.delete(again.json()["id"])
    # An upload may be longer than other bodies, and they are as short as before on its connection.
    with httpx.Client(headers={"x-api-key": ALICE}, timeout=60) as one:
        assert one.post(f"{gateway.url}/v1/files", **form()).is_success


def test_nobody_uploads_without_a_key(gateway: GatewayProcess) -> None:
    before = set(gateway.files.rglob("*"))  # type: ignore[attr-defined]
    assert code_of(send(gateway, "ps-nobody", **form(data=b"x" * 50_000))) == (
        401, "invalid_api_key")  # fmt: skip
    assert set(gateway.files.rglob("*")) == before  # type: ignore[attr-defined]


def test_an_upload_that_breaks_off_leaves_nothing(gateway: GatewayProcess) -> None:
    head = (b"POST /v1/files HTTP/1.1\r\nhost: x\r\nx-api-key: %b\r\ncontent-length: 90000\r\n"
            b"content-type: multipart/form-data; boundary=b\r\n\r\n" % ALICE.encode())  # fmt: skip
    part = b'--b\r\ncontent-disposition: form-data; name="file"; filename="x"\r\n\r\n'
    before = [file.id for file in gateway.sdk().files.list()]
    with socket.create_connection(("127.0.0.1", gateway.port)) as client:
        client.sendall(head + part + b"x" * 40_000)
    assert [file.id for file in gateway.sdk().files.list()] == before
    assert gateway.get("/health").is_success


def test_a_tenant_uploads_only_some_files_at_a_time(gateway: GatewayProcess) -> None:
    """Nobody's quota counts what is still coming, and it lies on the disk all the same."""
    head = (b"POST /v1/files HTTP/1.1\r\nhost: x\r\nx-api-key: %b\r\ncontent-length: 90000\r\n"
            b"content-type: multipart/form-data; boundary=b\r\n\r\n" % ALICE.encode())  # fmt: skip
    with ExitStack() as stack:
        for _ in range(8):
            client = stack.enter_context(socket.create_connection(("127.0.0.1", gateway.port)))
            client.sendall(head + PART[:90])
        wait_until(lambda: send(gateway, **form()).status_code == 429)
        refused = send(gateway, **form())
        assert code_of(refused) == (429, "rate_limit_exceeded")
        assert float(refused.headers["retry-after"]) > 0
        assert send(gateway, BOB, **form()).is_success
        assert list(gateway.sdk().files.list()) is not None
    wait_until(lambda: send(gateway, **form()).is_success)
    for key in (ALICE, BOB):
        for file in gateway.sdk(key).files.list():
            gateway.sdk(key).files.delete(file.id)


def test_a_large_upload_is_never_whole_in_memory(tmp_path: Path) -> None:
    size = 96 * 1024 * 1024
    with (
        counting_engine() as engine,
        GatewayProcess(batch_settings({"engine": engine.url}, tmp_path)) as gateway,
    ):
        client = gateway.sdk()
        upload(client, [line("warm")])
        process = psutil.Process(gateway.process.pid)
        before = process.memory_info().rss
        source = tmp_path / "large.jsonl"
        with source.open("wb") as file:
            file.truncate(size)
        with source.open("rb") as file:
            told = client.files.create(file=file, purpose="batch")
        after = process.memory_info().rss
        assert told.bytes == size
        assert after - before < size // 3
        with client.files.with_streaming_response.content(told.id) as answer:
            assert sum(len(piece) for piece in answer.iter_bytes()) == size
        assert process.memory_info().rss - before < size // 3


def test_files_go_when_their_time_is_over(tmp_path: Path) -> None:
    """No upload could ask for less than an hour: the database is told that it is over."""
    with counting_engine() as engine:
        settings = batch_settings({"engine": engine.url}, tmp_path)
        with GatewayProcess(settings) as gateway:
            client = gateway.sdk(BOB)
            done = start(client, [line("a")])
            done = wait_for(client, done.id)
        with closing(sqlite3.connect(tmp_path / "r.db")) as database, database:
            database.execute("UPDATE penstock_files SET expires_s = 1")
        with GatewayProcess(settings) as gateway:
            client = gateway.sdk(BOB)
            assert done.output_file_id is not None
            for file_id in (done.input_file_id, done.output_file_id):
                with pytest.raises(openai.NotFoundError):
                    client.files.retrieve(file_id)
            kept = tmp_path / "files" / "files"
            wait_until(lambda: not list(kept.iterdir()))
            assert client.batches.retrieve(done.id).status == "completed"


def test_a_gateway_without_a_place_for_files_says_so(tmp_path: Path) -> None:
    mine = {"x-api-key": ALICE}
    with counting_engine() as engine, GatewayProcess(settings_for({"engine": engine.url})) as off:
        for method, path in (("GET", "/v1/files"), ("POST", "/v1/files"), ("POST", "/v1/batches"),
                             ("GET", "/v1/batches/batch_x")):  # fmt: skip
            answer = httpx.request(method, off.url + path, headers=mine, timeout=60)
            assert code_of(answer) == (400, "batches_off")
            assert httpx.request(method, off.url + path, timeout=60).status_code == 401


@pytest.mark.parametrize("text", HOSTILE, ids=lambda text: ascii(text)[:20])
def test_hostile_text_in_batches(gateway: GatewayProcess, text: str) -> None:
    """It is refused, or kept as it is: nothing is executed, and nobody else's is found."""

    def ask(path: str, **body: object) -> httpx.Response:
        content = json.dumps(body).encode()  # escaped: lone surrogates cannot be sent otherwise
        headers = {"authorization": f"Bearer {BOB}"}
        answer = httpx.post(f"{gateway.url}{path}", content=content, headers=headers, timeout=60)
        assert answer.status_code < 500, answer.text
        for told in ("asyncpg", "sqlite3", "sqlalchemy", "Traceback", "penstock_files"):
            assert told not in answer.text
        return answer

    fields = {"input_file_id": "file-" + "0" * 24, "endpoint": "/v1/chat/completions",
              "completion_window": "24h"}  # fmt: skip
    for name in fields:
        assert ask("/v1/batches", **{**fields, name: text}).status_code in (400, 404)
    assert ask("/v1/batches", **fields, **{text: 1}).status_code == 400
    client = gateway.sdk(BOB)
    fields["input_file_id"] = upload(client, [json.dumps(line(text[:512]))])
    made = ask("/v1/batches", **fields, metadata={"what": text[:512]})
    if made.is_success:
        batch = wait_for(client, made.json()["id"])
        assert batch.metadata == {"what": text[:512]}
        found = rows(client, batch.output_file_id)
        assert list(found) in ([], [text[:512]])
        for file_id in (batch.output_file_id, batch.error_file_id):
            if file_id is not None:
                client.files.delete(file_id)
    else:
        assert "\ud800" in text
    client.files.delete(fields["input_file_id"])
