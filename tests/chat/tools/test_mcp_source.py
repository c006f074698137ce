"""MCP servers of the official SDK as sources of tools, over every transport."""

import asyncio
from collections.abc import AsyncGenerator, Iterator, Mapping
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import psutil
import pytest
from tests.fakes.chat_tools import steps_of
from tests.fakes.mcp_server import FAKE, KINDS, McpProcess, until

from penstock.chat.accumulate import Call
from penstock.chat.call_context import trace_calls
from penstock.chat.calls import Bounds, CallRunner
from penstock.chat.events import ToolProgress
from penstock.chat.results import Rich
from penstock.chat.sources import Toolboxes
from penstock.chat.tools.described import SourceSettings, TenantAccess
from penstock.chat.tools.mcp_link import Link, Patience
from penstock.chat.tools.mcp_source import McpSource, make_source
from penstock.chat.tools.mcp_transport import transport_of
from penstock.ground.errors import ToolError


@pytest.fixture(scope="module", params=KINDS)
def _server(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[McpProcess]:
    with McpProcess(request.param, tmp_path_factory.mktemp("mcp") / "notes") as process:
        yield process


@pytest.fixture
def server(_server: McpProcess) -> McpProcess:
    """A server over each of the transports, shared by the tests that leave it alive."""
    _server.forget()
    return _server


@asynccontextmanager
async def running(
    told: SourceSettings,
    environment: Mapping[str, str] | None = None,
    *,
    reached: bool = True,
    patience: Patience | None = None,
) -> AsyncGenerator[McpSource, None]:
    source = make_source(told, environment or {})
    if patience is not None:
        source = McpSource(told, {"": Link(told, transport_of(told, None), patience)})
    tasks = [asyncio.create_task(loop) for loop in source.loops()]
    try:
        if reached:
            await until(lambda: bool(source.tools("org-a")))
        yield source
    finally:
        for task in tasks:
            task.cancel()
        # All of them: the first that is gone must not leave a server of another behind.
        await asyncio.gather(*tasks, return_exceptions=True)


async def call(source: McpSource, name: str, tenant: str = "org-a", **arguments: object) -> object:
    tools = {tool.name: tool for tool in source.tools(tenant)}
    result = await tools[f"fake_{name}"].call(arguments)
    return result.value if isinstance(result, Rich) else result


async def keep_calling(source: McpSource) -> None:
    """Call until an answer comes; a call that has none is given up, as a turn gives up."""
    async with asyncio.timeout(60):
        while True:
            with suppress(ToolError, TimeoutError):
                answer = await asyncio.wait_for(call(source, "add", a=1, b=1), 10)
                assert answer == {"sum": 2}
                return
            await asyncio.sleep(0.05)


async def test_tools_are_listed_and_called(server: McpProcess) -> None:
    async with running(server.told()) as source:
        names = {tool.name for tool in source.tools("org-a")}
        assert names >= {"fake_add", "fake_fail", "fake_wait"}
        assert {tool.name for tool in source.tools("org-a") if tool.idempotent} == {"fake_add"}
        assert await call(source, "add", a=1, b=2) == {"sum": 3}
        with pytest.raises(ToolError, match="no luck"):
            await call(source, "fail", why="no luck")


async def test_a_call_that_is_given_up_is_cancelled_at_the_server(server: McpProcess) -> None:
    async with running(server.told()) as source:
        waiting = asyncio.create_task(call(source, "wait"))
        await until(lambda: server.noted() == ["waiting"])
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting
        await until(lambda: server.noted() == ["waiting", "cancelled"])
        assert await call(source, "add", a=2, b=2) == {"sum": 4}, "the connection still stands"


async def test_a_call_that_takes_too_long_is_cancelled_at_the_server(server: McpProcess) -> None:
    async with running(server.told()) as source:
        box = Toolboxes.of([source]).box("org-a", ("fake.wait",))
        runner = CallRunner(box, Bounds(call_timeout_s=5.0), float("inf"))
        steps = [step async for step in steps_of(runner, [Call("1", "fake_wait", "{}")])]
        assert steps[-1].outcome == "timeout"  # type: ignore[union-attr]
        await until(lambda: server.noted() == ["waiting", "cancelled"])


async def test_changes_of_the_list_are_heard(server: McpProcess) -> None:
    async with running(server.told()) as source:
        boxes = Toolboxes.of([source])
        before = boxes.box("org-a", ("fake",))
        await call(source, "grow", called="newer")
        await until(lambda: "fake_newer" in boxes.box("org-a", ("fake",)))
        assert "fake_newer" not in before, "a turn keeps the tools it began with"
        assert await call(source, "newer") is not None
        await call(source, "shrink", called="newer")
        await until(lambda: "fake_newer" not in boxes.box("org-a", ("fake",)))


async def test_a_change_before_the_server_listens_is_found(tmp_path: Path) -> None:
    program = FAKE.with_name("mcp_quiet.py")
    with McpProcess("http", tmp_path / "notes", program) as server:
        async with running(server.told(), patience=Patience(listen_again_s=0.05)) as source:
            await until(lambda: "fake_heard_1" in {tool.name for tool in source.tools("org-a")})
            await call(source, "hang_up")
            await until(lambda: "fake_heard_2" in {tool.name for tool in source.tools("org-a")})


async def test_progress_is_told(server: McpProcess) -> None:
    async with running(server.told()) as source:
        box = Toolboxes.of([source]).box("org-a", ("fake",))
        runner = CallRunner(box, Bounds(), float("inf"))
        steps = [step async for step in steps_of(runner, [Call("1", "fake_count", '{"to": 3}')])]
    told = [step for step in steps if isinstance(step, ToolProgress)]
    assert [step.progress for step in told] == [1, 2, 3]
    assert (told[0].call_id, told[0].total, told[0].message) == ("1", 3, "step 1")


async def test_resources_are_read_where_the_operator_says_so(server: McpProcess) -> None:
    async with running(server.told()) as source:
        assert "fake_read_resource" not in {tool.name for tool in source.tools("org-a")}
    async with running(server.told(resources=True, approve=("read_resource",))) as source:
        listed = await call(source, "list_resources")
        assert isinstance(listed, dict)
        assert listed["resources"][0] == {"uri": "memo://one", "name": "one", "about": "A memo"}
        assert await call(source, "read_resource", uri="memo://one") == {"text": "Buy milk."}
        picture = await call(source, "read_resource", uri="memo://picture")
        assert picture == {"text": "[image/png, not shown]"}
        with pytest.raises(ToolError):
            await call(source, "read_resource", uri="memo://none")
        assert source.needs_approval("fake_read_resource")


async def test_each_tenant_has_its_own_credential(
    server: McpProcess, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GATEWAY_SECRET", "never")
    told = server.told(secret_env="ALL", tenants={"org-b": TenantAccess("OWN")})
    async with running(told, {"ALL": "shared-key", "OWN": "org-b-key"}) as source:
        await until(lambda: bool(source.tools("org-b")))
        for tenant, key in (("org-a", "shared-key"), ("org-b", "org-b-key"), ("", "shared-key")):
            answer = await call(source, "whoami", tenant)
            assert isinstance(answer, dict)
            said = answer["result"].split(" ")
            assert key in said
            if server.kind == "stdio":
                assert said[-1] == "None", "a process gets nothing else of our environment"


async def test_the_trace_goes_with_the_call(server: McpProcess) -> None:
    trace = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
    async with running(server.told()) as source:
        box = Toolboxes.of([source]).box("org-a", ("fake",))
        trace_calls(lambda call_id: {"traceparent": trace})
        made = Call("1", "fake_whoami", "{}")
        async for _ in steps_of(CallRunner(box, Bounds(), float("inf")), [made]):
            pass
        assert trace in made.result


async def test_a_server_that_dies_in_a_call_is_found_again(tmp_path: Path) -> None:
    with McpProcess("stdio", tmp_path / "notes") as server:
        async with running(server.told()) as source:
            with pytest.raises(ToolError):
                await asyncio.wait_for(call(source, "leave"), 60)
            await keep_calling(source)


async def test_waiting_grows_only_while_a_server_cannot_be_reached(tmp_path: Path) -> None:
    with McpProcess("stdio", tmp_path / "notes") as server:
        impatient = Patience(retry_s=(0.01, 1000.0))
        async with running(server.told(), patience=impatient) as source:
            for _ in range(3):
                with pytest.raises(ToolError):
                    await asyncio.wait_for(call(source, "leave"), 60)
                await until(source._links[""]._up.is_set)  # nobody calls


async def test_a_call_ends_the_waiting(tmp_path: Path) -> None:
    with McpProcess("http", tmp_path / "notes") as server:
        patience = Patience(retry_s=(0.01, 1000.0))
        async with running(server.told(), patience=patience) as source:
            server.kill()
            await asyncio.gather(call(source, "add", a=1, b=1), return_exceptions=True)
            await until(lambda: source._links[""]._failures > 0)
            server.start()
            await keep_calling(source)


async def test_a_server_that_stopped_answering_is_connected_anew(tmp_path: Path) -> None:
    with McpProcess("stdio", tmp_path / "notes") as server:
        async with running(server.told(), patience=Patience(list_s=5.0)) as source:
            assert await call(source, "add", a=1, b=2) == {"sum": 3}
            await call(source, "turn_deaf")
            with suppress(TimeoutError):
                while True:
                    await asyncio.wait_for(call(source, "add", a=1, b=2), 1)
            await keep_calling(source)


@pytest.mark.parametrize("kind", ["http", "sse"])
async def test_a_server_that_was_restarted_is_found_again(kind: str, tmp_path: Path) -> None:
    with McpProcess(kind, tmp_path / "notes") as server:
        async with running(server.told()) as source:
            assert await call(source, "add", a=1, b=2) == {"sum": 3}
            waiting = asyncio.create_task(call(source, "wait"))
            await until(lambda: server.noted() == ["waiting"])
            server.kill()
            with pytest.raises(ToolError):
                await asyncio.wait_for(waiting, 60)
            with pytest.raises(ToolError):
                await asyncio.wait_for(call(source, "add", a=1, b=2), 60)
            server.start()
            await keep_calling(source)


class Deaf:
    """A transport that swallows the first cancellation, as one does whose answer comes with it."""

    def __init__(self) -> None:
        self.swallowed = 0

    async def __aenter__(self) -> None:
        with suppress(asyncio.CancelledError):
            await asyncio.Event().wait()
        self.swallowed += 1
        await asyncio.Event().wait()

    async def __aexit__(self, *_: object) -> None:
        raise AssertionError("it was never entered")


async def test_a_connection_that_swallows_its_end_is_ended() -> None:
    transport = Deaf()
    told = SourceSettings("fake", mcp_url="http://127.0.0.1:1")
    link = Link(told, lambda: transport, Patience(ending_s=0.1))
    task = asyncio.create_task(link.run())
    await asyncio.sleep(0.05)
    task.cancel()
    async with asyncio.timeout(60):
        await asyncio.wait((task,))
    assert task.cancelled()
    assert transport.swallowed == 1


@pytest.mark.parametrize("kind", ["http", "sse"])
async def test_an_internal_server_is_not_reached_unless_allowed(kind: str, tmp_path: Path) -> None:
    with McpProcess(kind, tmp_path / "notes") as server:
        async with running(SourceSettings("fake", mcp_url=server.url), reached=False) as source:
            with pytest.raises(ToolError, match="cannot be reached"):
                await source._links[""].call("add", {})
            assert source.tools("org-a") == ()


async def test_a_process_that_does_not_end_by_itself_is_killed(tmp_path: Path) -> None:
    with McpProcess("stdio", tmp_path / "notes") as server:
        async with running(server.told()) as source:
            pid = await call(source, "turn_deaf")
        assert isinstance(pid, dict)
        assert not psutil.pid_exists(pid["pid"])


async def test_only_what_is_wanted(tmp_path: Path) -> None:
    with McpProcess("stdio", tmp_path / "notes") as server:
        async with running(server.told(only=("add",), approve=("add",))) as source:
            assert [tool.name for tool in source.tools("org-a")] == ["fake_add"]
            assert source.needs_approval("fake_add")
