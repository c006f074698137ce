"""Clients of others, with a tool of their own and one of the gateway's in one conversation."""

import json
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest
from agents import Agent as OpenAIAgent
from agents import (
    FunctionTool,
    ModelSettings,
    OpenAIChatCompletionsModel,
    Runner,
    set_tracing_disabled,
)
from openai import AsyncOpenAI
from pydantic_ai import Agent, Tool
from pydantic_ai.models.openai import OpenAIChatModel
from pydantic_ai.providers.openai import OpenAIProvider
from tests.gateway.real_engines import MATHS, NAME, RealEngine

SUM, SKY = "What is 12 * 7?", "What is the weather in Paris?"
NAMED, ABOUT = "get_current_weather", "Get the current weather in a given location."
PLACE = {"type": "string", "description": "The city, e.g. Paris"}
SCHEMA: dict[str, Any] = {
    "type": "object",
    "properties": {"location": PLACE},
    "required": ["location"],
}


@pytest.fixture
def asked() -> list[str]:
    """The places that the client's own tool was asked for."""
    return []


@pytest.fixture
def weather(asked: list[str]) -> Callable[..., str]:
    """The client's own tool, run by it; the gateway's own of this name is not granted."""

    def get_current_weather(location: str, unit: str = "celsius") -> str:
        asked.append(location)
        told = {"location": location, "temperature": 7, "unit": unit, "conditions": "cloudy"}
        return json.dumps(told)  # spaced as the model has seen results; some clients are not so

    return get_current_weather


@pytest.fixture
async def client(real: RealEngine) -> AsyncIterator[AsyncOpenAI]:
    async with AsyncOpenAI(base_url=f"{real.gateway.url}/v1", api_key=MATHS) as opened:
        yield opened


@pytest.fixture
def ran(real: RealEngine) -> Callable[[], float]:
    """How often the gateway has run its tool."""
    before = real.gateway.metric("tool_calls_total", tenant="maths", outcome="ok")
    return lambda: real.gateway.metric("tool_calls_total", tenant="maths", outcome="ok") - before


@pytest.mark.parametrize("stream", [False, True])
async def test_openai(
    client: AsyncOpenAI, weather: Callable[..., str], asked: list[str],
    ran: Callable[[], float], stream: bool,
) -> None:  # fmt: skip
    function = {"name": NAMED, "description": ABOUT, "parameters": SCHEMA}
    messages: list[Any] = []

    async def say(text: str | None) -> Any:
        if text:
            messages.append({"role": "user", "content": text})
        given: Any = {"model": NAME, "messages": messages, "temperature": 0,
                      "tools": [{"type": "function", "function": function}]}  # fmt: skip
        if stream:
            async with client.chat.completions.stream(**given) as events:
                done: Any = await events.get_final_completion()
        else:
            done = await client.chat.completions.create(**given)
        message = done.choices[0].message
        messages.append(message.model_dump(mode="json", exclude_none=True))
        return message

    first = await say(SUM)
    assert not first.tool_calls
    assert "84" in first.content
    second = await say(SKY)
    (call,) = second.tool_calls
    result = weather(**json.loads(call.function.arguments))
    messages.append({"role": "tool", "tool_call_id": call.id, "content": result})
    assert (await say(None)).content
    assert (asked, ran()) == (["Paris"], 1)


@pytest.mark.parametrize("stream", [False, True])
async def test_openai_agents(
    client: AsyncOpenAI, weather: Callable[..., str], asked: list[str],
    ran: Callable[[], float], stream: bool,
) -> None:  # fmt: skip
    set_tracing_disabled(True)

    async def invoke(context: Any, arguments: str) -> str:
        return weather(**json.loads(arguments))

    tool = FunctionTool(NAMED, ABOUT, SCHEMA, invoke, strict_json_schema=False)
    model = OpenAIChatCompletionsModel(model=NAME, openai_client=client)
    agent = OpenAIAgent(
        name="tester",
        model=model,
        tools=[tool],
        model_settings=ModelSettings(temperature=0),
    )

    async def say(given: Any) -> Any:
        if not stream:
            return await Runner.run(agent, given)
        result = Runner.run_streamed(agent, given)
        async for _ in result.stream_events():
            pass
        return result

    first = await say(SUM)
    assert "84" in first.final_output
    second = await say([*first.to_input_list(), {"role": "user", "content": SKY}])
    assert second.final_output
    assert (asked, ran()) == (["Paris"], 1)


@pytest.mark.parametrize("stream", [False, True])
async def test_pydantic_ai(
    client: AsyncOpenAI, weather: Callable[..., str], asked: list[str],
    ran: Callable[[], float], stream: bool,
) -> None:  # fmt: skip
    model = OpenAIChatModel(NAME, provider=OpenAIProvider(openai_client=client))
    tool: Tool[None] = Tool.from_schema(weather, NAMED, ABOUT, SCHEMA)
    agent = Agent(model, tools=[tool], model_settings={"temperature": 0})

    async def say(text: str, history: Any = None) -> tuple[str, Any]:
        if not stream:
            done = await agent.run(text, message_history=history)
            return done.output, done.all_messages()
        async with agent.run_stream(text, message_history=history) as run:
            return await run.get_output(), run.all_messages()

    first, history = await say(SUM)
    assert "84" in first
    second, _ = await say(SKY, history)
    assert second
    assert (asked, ran()) == (["Paris"], 1)
