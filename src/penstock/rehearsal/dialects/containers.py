"""What a container accepts to be told: which one it is, and whether it would start.

Only what the images' own documentation or launchers refuse is refused here. Sources: AWS's vLLM
container (`SM_VLLM_*` become flags of `vllm serve`), LMI's configuration guide, TGI's launcher,
Triton's `serve` script for SageMaker.
"""

import re
from collections.abc import Iterator, Mapping
from functools import cache
from importlib.resources import files

VLLM, LMI, TGI, TRITON, OTHER = "vllm", "lmi", "tgi", "triton", "other"
REPOSITORIES = {
    "vllm": VLLM,
    "djl-inference": LMI,
    "huggingface-pytorch-tgi-inference": TGI,
    "sagemaker-tritonserver": TRITON,
}
_REGISTRY = re.compile(r"\d{12}\.dkr\.ecr\.[a-z0-9-]+\.amazonaws\.com[^/]*/([^:@]+)")
TGI_QUANTIZATIONS = {
    "awq", "eetq", "exl2", "gptq", "marlin", "bitsandbytes", "bitsandbytes-nf4",
    "bitsandbytes-fp4", "fp8", "compressed-tensors",
}  # fmt: skip
ROLLING_BATCH = {"auto", "disable", "vllm", "lmi-dist", "trtllm"}
TRITON_TYPES = {"infer", "generate", "generate_stream"}


def kind_of(image: str) -> str:
    """Return which of AWS's containers an image is; `other` for one of the user's own."""
    found = _REGISTRY.fullmatch(image.partition("@")[0].partition(":")[0]) or _REGISTRY.match(
        image
    )
    return REPOSITORIES.get(found[1], OTHER) if found else OTHER


def flaws(kind: str, environment: Mapping[str, str]) -> list[str]:
    """Return the lines with which the container would end instead of starting."""
    check = {VLLM: _vllm, LMI: _lmi, TGI: _tgi, TRITON: _triton}.get(kind)
    return list(check(environment)) if check else []


def _vllm(environment: Mapping[str, str]) -> Iterator[str]:
    for name, value in environment.items():
        if not name.startswith("SM_VLLM_"):
            continue
        flag = name.removeprefix("SM_VLLM_").lower().replace("_", "-")
        if flag.removeprefix("no-") not in vllm_flags():
            yield f"vllm serve: error: unrecognized arguments: --{flag} {value}"
        elif flag in {
            "max-model-len",
            "max-num-seqs",
            "tensor-parallel-size",
        } and not re.fullmatch(r"-?\d+(\.\d+)?[kKmMgG]?|auto", value):
            yield f"vllm serve: error: argument --{flag}: invalid int value: '{value}'"


def _lmi(environment: Mapping[str, str]) -> Iterator[str]:
    sources = ("HF_MODEL_ID", "OPTION_MODEL_ID", "SERVING_LOAD_MODELS")
    if not any(environment.get(name) for name in sources):
        yield "ERROR ModelServer No model: set HF_MODEL_ID or OPTION_MODEL_ID"
    batch = environment.get("OPTION_ROLLING_BATCH", "auto")
    if batch not in ROLLING_BATCH:
        yield f"ERROR PyProcess ValueError: Unsupported rolling batch: {batch}"
    degree = environment.get("TENSOR_PARALLEL_DEGREE", "max")
    if degree != "max" and not degree.isdigit():
        yield f"ERROR ModelServer Invalid TENSOR_PARALLEL_DEGREE: {degree}"


def _tgi(environment: Mapping[str, str]) -> Iterator[str]:
    if not environment.get("HF_MODEL_ID"):
        yield "Error: HF_MODEL_ID must be set"
    quantize = environment.get("QUANTIZE")
    if quantize and quantize not in TGI_QUANTIZATIONS:
        yield f"error: invalid value '{quantize}' for '--quantize <QUANTIZE>'"
    if quantize and environment.get("DTYPE"):
        yield "Error: Only one can be set between `dtype` and `quantize`"
    least = environment.get("MAX_INPUT_TOKENS") or environment.get("MAX_INPUT_LENGTH")
    most = environment.get("MAX_TOTAL_TOKENS")
    if least and most and int(least) >= int(most):
        yield "Error: ArgumentValidation: `max_input_tokens` must be < `max_total_tokens`"


def _triton(environment: Mapping[str, str]) -> Iterator[str]:
    kind = environment.get("SAGEMAKER_TRITON_INFERENCE_TYPE", "infer")
    if kind not in TRITON_TYPES:
        yield f"error: unknown inference type {kind}"


@cache
def vllm_flags() -> frozenset[str]:
    """Return the names of the flags of `vllm serve`, as `vllm_flags.txt` lists them."""
    text = files("penstock.rehearsal.dialects").joinpath("vllm_flags.txt").read_text()
    return frozenset(line for line in text.splitlines() if line and not line.startswith("#"))
