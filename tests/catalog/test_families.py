"""Model names, as hubs spell them, and the parser each family needs."""

import pytest

from penstock.catalog.families import FAMILIES, TOOL_PARSERS, nearest_parser, tool_parser


@pytest.mark.parametrize(
    ("model", "parser"),
    [
        ("embedded", "hermes"),
        ("penstock-tiny", "hermes"),
        ("Qwen/Qwen3-0.6B", "hermes"),
        ("Qwen/Qwen2.5-7B-Instruct", "hermes"),
        ("Qwen/Qwen3-Coder-30B-A3B-Instruct", "qwen3_coder"),
        ("NousResearch/Hermes-3-Llama-3.1-8B", "hermes"),
        ("meta-llama/Llama-3.1-8B-Instruct", "llama3_json"),
        ("meta-llama/Meta-Llama-3.1-8B-Instruct", "llama3_json"),
        ("meta-llama/Llama-3.2-1B-Instruct", "llama3_json"),
        ("meta-llama/Llama-4-Scout-17B-16E-Instruct", "llama4_pythonic"),
        ("mistralai/Mistral-7B-Instruct-v0.3", "mistral"),
        ("mistralai/Ministral-8B-Instruct-2410", "mistral"),
        ("ibm-granite/granite-3.3-8b-instruct", "granite"),
        ("ibm-granite/granite-4.0-h-small", "granite4"),
        ("ibm-granite/granite-20b-functioncalling", "granite-20b-fc"),
        ("Team-ACE/ToolACE-8B", "pythonic"),
        ("Salesforce/Llama-xLAM-2-8b-fc-r", "xlam"),
        ("deepseek-ai/DeepSeek-V3.1", "deepseek_v31"),
        ("deepseek-ai/DeepSeek-R1-0528", "deepseek_v3"),
        ("openai/gpt-oss-20b", "openai"),
        ("/models/Qwen3-0.6B/", "hermes"),
        ("bigscience/bloom-560m", None),
        ("deepseek-ai/DeepSeek-R1-Distill-Llama-8B", None),
    ],
)
def test_the_parser_of_a_model(model: str, parser: str | None) -> None:
    assert tool_parser(model) == parser


@pytest.mark.parametrize(
    ("template", "parser"),
    [
        ("... <tool_call>\n{...}", "hermes"),
        ("... <tool_call>\n<function=f>", "qwen3_coder"),
        ("[TOOL_CALLS] [", "mistral"),
        ("<|python_tag|>", "llama3_json"),
        ("no tools", None),
    ],
)
def test_an_unknown_name_is_judged_by_its_template(template: str, parser: str | None) -> None:
    assert tool_parser("/data/my-model", template) == parser


def test_every_family_names_a_parser_of_vllm() -> None:
    assert {family.tool_parser for family in FAMILIES} <= TOOL_PARSERS


def test_a_misspelt_parser_has_a_neighbour() -> None:
    assert nearest_parser("hermez") == "hermes"
    assert nearest_parser("zzzzzz") is None
