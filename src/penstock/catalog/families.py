"""Model families and the tool-call parser that reads what each of them writes.

As of 2026-11, for vLLM 0.32. Sources: vLLM's documentation, "Tool Calling"; the parser names are
those of `vllm serve --help=all`, option `--tool-call-parser`, of that release.
"""

import re
from dataclasses import dataclass
from difflib import get_close_matches

AS_OF = "2026-11"

_PARSER_NAMES = """
    apertus cohere_command3 cohere_command4 deepseek_v3 deepseek_v31 deepseek_v32 deepseek_v4
    deepseek_v41 dots ernie45 functiongemma gemma4 gigachat3 glm45 glm47 granite granite-20b-fc
    granite4 hermes hf hunyuan_a13b hy_v3 hy_v4 inkling internlm jamba k2_horizon kimi_k2
    kimi_k3 lfm2 ling3 llama3_json llama4_json llama4_pythonic longcat mimo minicpm5 minimax_m2
    minimax_m3 mistral muse_glimmer olmo3 openai phi4_mini_json plamo3 poolside_v1 pythonic
    qwen3_coder qwen3_json qwen3_xml seed_oss step3 step3p5 xlam
"""
TOOL_PARSERS = frozenset(_PARSER_NAMES.split())
"""Every parser of vLLM 0.32."""


@dataclass(frozen=True, slots=True)
class Family:
    """Models that write tool calls alike; `pattern` is searched in the lower-case model name."""

    name: str
    pattern: str
    tool_parser: str


FAMILIES = (
    Family("Penstock's own", r"^(embedded|penstock-tiny)$", "hermes"),
    Family("ToolACE", r"toolace", "pythonic"),
    Family("xLAM", r"xlam", "xlam"),
    Family("Hermes", r"hermes", "hermes"),
    Family("DeepSeek V4", r"deepseek-v4", "deepseek_v4"),
    Family("DeepSeek V3.2", r"deepseek-v3\.2", "deepseek_v32"),
    Family("DeepSeek V3.1", r"deepseek-v3\.1", "deepseek_v31"),
    Family("DeepSeek V3 and R1", r"deepseek-(v3|r1)(?!.*distill)", "deepseek_v3"),
    Family("Qwen coder", r"qwen3-coder", "qwen3_coder"),
    Family("Qwen", r"qwen-?(2\.5|3)|qwq", "hermes"),
    Family("Llama 4", r"llama-?4", "llama4_pythonic"),
    Family("Llama 3", r"llama-?3(\.[123])?(?!.*distill)", "llama3_json"),
    Family("Mistral", r"mistral|mixtral|ministral|magistral|devstral", "mistral"),
    Family("Granite function calling", r"granite-20b-functioncalling", "granite-20b-fc"),
    Family("Granite 4", r"granite-?4", "granite4"),
    Family("Granite", r"granite", "granite"),
    Family("FunctionGemma", r"functiongemma", "functiongemma"),
    Family("Gemma 4", r"gemma-?4", "gemma4"),
    Family("gpt-oss", r"gpt-oss", "openai"),
    Family("Kimi K2", r"kimi-k2", "kimi_k2"),
    Family("GLM 4.7", r"glm-?4\.7", "glm47"),
    Family("GLM 4.5 and 4.6", r"glm-?4\.[56]", "glm45"),
    Family("Phi 4 mini", r"phi-4-mini", "phi4_mini_json"),
    Family("InternLM", r"internlm", "internlm"),
    Family("Jamba", r"jamba", "jamba"),
    Family("Olmo 3", r"olmo-?3", "olmo3"),
    Family("SmolLM 3", r"smollm3", "hermes"),
    Family("MiniMax M2", r"minimax-m2", "minimax_m2"),
    Family("Seed OSS", r"seed-oss", "seed_oss"),
    Family("Hunyuan", r"hunyuan-a13b", "hunyuan_a13b"),
    Family("LFM 2", r"lfm-?2", "lfm2"),
)
"""Looked through in this order; the first match counts."""

_TEMPLATE_MARKS = (
    ("<tool_call>\n<function=", "qwen3_coder"),
    ("<tool_call>", "hermes"),
    ("[TOOL_CALLS]", "mistral"),
    ("<|python_tag|>", "llama3_json"),
)


def tool_parser(model: str, template: str = "") -> str | None:
    """The parser for a model id or folder name, else for its chat template; none if unknown."""
    name = model.rstrip("/").rpartition("/")[2].lower()
    for family in FAMILIES:
        if re.search(family.pattern, name):
            return family.tool_parser
    return next((parser for mark, parser in _TEMPLATE_MARKS if mark in template), None)


TEXT_FORMATS = {
    "hermes": "hermes",
    "llama3_json": "llama3_json",
    "llama4_pythonic": "pythonic",
    "lfm2": "pythonic",
    "mistral": "mistral",
    "pythonic": "pythonic",
}
"""Which form Penstock itself can find in text, by the parser that vLLM has for the same models."""


def text_format(model: str) -> str | None:
    """The form in which a model writes calls, where Penstock can find it; none if unknown."""
    return TEXT_FORMATS.get(tool_parser(model) or "")


def nearest_parser(name: str) -> str | None:
    """The known parser that is spelt most like `name`."""
    close = get_close_matches(name, sorted(TOOL_PARSERS), n=1)
    return close[0] if close else None
