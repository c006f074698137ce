"""From manifests to vLLM's command line: what is said, and what is refused."""

from typing import Any

import pytest

from penstock.engines.model_folder import ModelFacts
from penstock.engines.vllm import GIB, MIB, VllmHost, vllm_launch
from penstock.ground.errors import MachineError, ManifestError
from penstock.manifest.model import Manifest

CPU = VllmHost(("python", "-m", "vllm.cli"), "cpu", memory_bytes=16 * GIB)
GPU = VllmHost(("vllm",), "cuda")
TINY = ModelFacts(
    "/m/tiny", is_folder=True, weights_bytes=8 * MIB, context=2048, kv_bytes_per_token=4096
)
HUB = ModelFacts("Qwen/Qwen3-0.6B")
COMMON = "--host 127.0.0.1 --port 7"
QUIET = "--disable-access-log-for-endpoints /health,/metrics,/ping"
HERMES = (
    "--enable-auto-tool-choice --tool-call-parser hermes --exclude-tools-when-tool-choice-none"
)


def manifest(model: dict[str, Any] | None = None, **engine: Any) -> Manifest:
    adapters = engine.pop("adapters", {})
    fields = {"model": model or {"id": "Qwen/Qwen3-0.6B"}, "engine": engine}
    return Manifest.model_validate({**fields, "adapters": adapters})


GOLDEN = {
    "CPU, shipped model": (
        manifest({"id": "embedded"}),
        TINY,
        CPU,
        f"python -m vllm.cli serve /m/tiny {COMMON} --served-model-name penstock-tiny "
        f"--max-model-len auto --kv-cache-memory-bytes 268435456 --enforce-eager {HERMES} {QUIET}",
    ),
    "CPU, compiled": (
        manifest({"id": "embedded", "context": 512, "dtype": "float32"}, eager=False),
        TINY,
        CPU,
        f"python -m vllm.cli serve /m/tiny {COMMON} --served-model-name penstock-tiny "
        f"--max-model-len 512 --dtype float32 --kv-cache-memory-bytes 268435456 {HERMES} {QUIET}",
    ),
    "CPU, adapters": (
        manifest({"id": "embedded"}, tool_parser="none", adapters={"a": "/l/a", "b": "/l/b"}),
        TINY,
        CPU,
        f"python -m vllm.cli serve /m/tiny {COMMON} --served-model-name penstock-tiny "
        "--max-model-len auto --kv-cache-memory-bytes 268435456 --enforce-eager "
        "--enable-lora --max-loras 8 --max-cpu-loras 8 --max-lora-rank 16 "
        f"--lora-modules a=/l/a b=/l/b {QUIET}",
    ),
    "GPU, plain": (
        manifest(),
        HUB,
        GPU,
        f"vllm serve Qwen/Qwen3-0.6B {COMMON} --served-model-name Qwen3-0.6B {HERMES} {QUIET}",
    ),
    "GPU, everything": (
        manifest(
            {
                "id": "Qwen/Qwen3-0.6B",
                "revision": "main",
                "context": 8192,
                "dtype": "bfloat16",
                "quantization": "fp8",
                "served_name": "bot",
            },
            tensor_parallel=2,
            gpu_memory_utilization=0.8,
            max_sequences=32,
            max_batched_tokens=4096,
            prefix_caching=True,
            chunked_prefill=False,
            speculative={"num_speculative_tokens": 4, "method": "ngram"},
            tool_parser="xlam",
            eager=True,
            extra_args=["--seed", "7"],
        ),
        HUB,
        GPU,
        f"vllm serve Qwen/Qwen3-0.6B {COMMON} --served-model-name bot --max-model-len 8192 "
        "--revision main --dtype bfloat16 --quantization fp8 --tensor-parallel-size 2 "
        "--gpu-memory-utilization 0.8 --max-num-seqs 32 --max-num-batched-tokens 4096 "
        "--enable-prefix-caching --no-enable-chunked-prefill --speculative-config "
        '{"method": "ngram", "num_speculative_tokens": 4} --enforce-eager '
        "--enable-auto-tool-choice --tool-call-parser xlam --exclude-tools-when-tool-choice-none "
        f"{QUIET} --seed 7",
    ),
    "GPU, low latency": (
        manifest(profile="low-latency", max_sequences=8),
        HUB,
        GPU,
        f"vllm serve Qwen/Qwen3-0.6B {COMMON} --served-model-name Qwen3-0.6B "
        "--max-model-len 2048 --gpu-memory-utilization 0.85 --max-num-seqs 8 "
        f"--enable-chunked-prefill {HERMES} {QUIET}",
    ),
    "GPU, high throughput": (
        manifest(profile="high-throughput", chunked_prefill=False),
        HUB,
        GPU,
        f"vllm serve Qwen/Qwen3-0.6B {COMMON} --served-model-name Qwen3-0.6B "
        "--gpu-memory-utilization 0.95 --max-num-seqs 512 --max-num-batched-tokens 32768 "
        f"--no-enable-chunked-prefill {HERMES} {QUIET}",
    ),
    "GPU, long context": (
        manifest({"id": "x/y", "context": 65536}, profile="long-context"),
        ModelFacts("x/y"),
        GPU,
        f"vllm serve x/y {COMMON} --served-model-name y --max-model-len 65536 "
        "--gpu-memory-utilization 0.9 --max-num-seqs 32 --max-num-batched-tokens 8192 "
        f"--enable-chunked-prefill {QUIET}",
    ),
    "a profile asks for no more than the model has": (
        manifest({"id": "embedded"}, profile="long-context", tool_parser="none"),
        TINY,
        GPU,
        f"vllm serve /m/tiny {COMMON} --served-model-name penstock-tiny --max-model-len 2048 "
        "--gpu-memory-utilization 0.9 --max-num-seqs 32 --max-num-batched-tokens 8192 "
        f"--enable-chunked-prefill {QUIET}",
    ),
}


@pytest.mark.parametrize("name", GOLDEN)
def test_the_command_line(name: str) -> None:
    given, facts, host, expected = GOLDEN[name]
    launch = vllm_launch(given, facts, host, 7)
    assert " ".join(launch.argv) == expected
    assert launch.url == "http://127.0.0.1:7"


def test_the_environment() -> None:
    folder = vllm_launch(manifest({"id": "embedded"}, adapters={"a": "/l/a"}), TINY, CPU, 7)
    assert folder.env == {
        "VLLM_NO_USAGE_STATS": "1",
        "HF_HUB_OFFLINE": "1",
        "VLLM_ALLOW_RUNTIME_LORA_UPDATING": "True",
        "VLLM_TARGET_DEVICE": "cpu",
    }
    assert vllm_launch(manifest(), HUB, GPU, 7).env == {"VLLM_NO_USAGE_STATS": "1"}


@pytest.mark.parametrize("count", [1, 4, 7, 8, 40])
def test_on_cpu_there_are_more_slots_than_adapters(count: int) -> None:
    given = manifest({"id": "embedded"}, adapters={f"a{n}": "/l" for n in range(count)})
    argv = vllm_launch(given, TINY, CPU, 7).argv
    slots = int(argv[argv.index("--max-loras") + 1])
    assert slots > count
    assert int(argv[argv.index("--max-cpu-loras") + 1]) >= slots


@pytest.mark.parametrize(("rank", "flag"), [(0, "16"), (8, "16"), (17, "32"), (64, "64")])
def test_the_rank_fits_the_largest_adapter(rank: int, flag: str) -> None:
    facts = ModelFacts("/m", is_folder=True, lora_rank=rank)
    argv = vllm_launch(manifest(adapters={"a": "/l"}), facts, GPU, 7).argv
    assert argv[argv.index("--max-lora-rank") + 1] == flag


@pytest.mark.parametrize(
    ("given", "host", "words"),
    [
        (manifest({"id": "x/y", "quantization": "nf4"}), GPU, "nf4 cannot be served by vLLM"),
        (manifest({"id": "x/y", "quantization": "fp8"}), CPU, "fp8 needs a GPU"),
        (manifest(tool_parser="hermez"), GPU, "Did you mean hermes?"),
        (manifest(tensor_parallel=2), CPU, "tensor_parallel: 2 needs as many GPUs"),
        (manifest(gpu_memory_utilization=0.5), CPU, "gpu_memory_utilization has no effect"),
    ],
)
def test_what_cannot_be_is_refused_by_name(given: Manifest, host: VllmHost, words: str) -> None:
    with pytest.raises(ManifestError) as caught:
        vllm_launch(given, HUB, host, 7)
    assert words in str(caught.value)


def test_the_cache_takes_four_contexts_within_a_third_of_the_memory() -> None:
    facts = ModelFacts("/m", True, weights_bytes=GIB, context=32_768, kv_bytes_per_token=100_000)
    argv = vllm_launch(manifest(), facts, CPU, 7).argv
    assert int(argv[argv.index("--kv-cache-memory-bytes") + 1]) == 13 * GIB // 3
    small = vllm_launch(manifest({"id": "x/y", "context": 4096}), facts, CPU, 7).argv
    assert int(small[small.index("--kv-cache-memory-bytes") + 1]) == 4 * 4096 * 100_000


def test_too_little_memory_is_told_in_figures() -> None:
    facts = ModelFacts("/m", True, weights_bytes=30 * GIB)
    with pytest.raises(MachineError, match=r"needs 32\.2 GiB, 16\.0 GiB are free"):
        vllm_launch(manifest(), facts, CPU, 7)
