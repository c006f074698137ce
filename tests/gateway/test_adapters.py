"""Answers of the base model are the base model's, whatever adapters are loaded beside it.

vLLM on CPU reads the last adapter slot for rows of a mixed batch that have no adapter; our launch
keeps that slot empty. Here every mixed batch is compared with what each model says alone.
"""

import asyncio

import pytest
from openai import AsyncOpenAI
from tests.gateway.conftest import ADAPTERS
from tests.gateway.gateway_process import ALICE
from tests.gateway.real_engines import NAME, RealEngine

PROMPTS = [
    "Hello!",
    "What can you do?",
    "Who made you?",
    "Tell me about Penstock.",
    "What is Penstock?",
    "Thank you",
]
TOKENS = 12


async def ask(sdk: AsyncOpenAI, model: str, prompt: str) -> str:
    answer = await sdk.completions.create(
        model=model, prompt=prompt, temperature=0, max_tokens=TOKENS
    )
    return answer.choices[0].text


@pytest.mark.parametrize("rounds", [3])
async def test_a_mixed_batch_gives_each_model_its_own_answers(
    real: RealEngine, rounds: int
) -> None:
    pairs = [(model, prompt) for prompt in PROMPTS for model in (NAME, *ADAPTERS, NAME)]
    url = f"{real.gateway.url}/v1"
    async with AsyncOpenAI(base_url=url, api_key=ALICE, max_retries=0) as sdk:
        alone = {}
        for model in (NAME, *ADAPTERS):
            for prompt in PROMPTS:
                alone[model, prompt] = await ask(sdk, model, prompt)
        mixed = [
            await asyncio.gather(*(ask(sdk, model, prompt) for model, prompt in pairs))
            for _ in range(rounds)
        ]
    base = [alone[NAME, prompt] for prompt in PROMPTS]
    for adapter in ADAPTERS:  # else the comparison would say nothing
        assert [alone[adapter, prompt] for prompt in PROMPTS] != base
    for answers in mixed:
        wrong = [
            (pair, answer)
            for pair, answer in zip(pairs, answers, strict=True)
            if pair[0] == NAME and answer != alone[pair]
        ]
        assert wrong == []


def test_an_adapter_that_does_not_exist_is_never_the_base_model(real: RealEngine) -> None:
    answer = real.gateway.chat(model="nobody", key=ALICE)
    assert answer.status_code == 404
