"""From the words that AWS and containers use to what helps: each remedy by a line as it is logged.

The lines are those of public issues, forums and manuals, shortened; `docs/doctor.md` names the
guides that they belong to.
"""

import pytest

from penstock.targets.aws.remedies import REMEDIES, remedies_for, remedy_for

LINES = {
    "gpu-memory": (
        "torch.OutOfMemoryError: CUDA out of memory. Tried to allocate 136.00 MiB. GPU 0 has a "
        "total capacity of 22.20 GiB of which 31.12 MiB is free.",
        "ValueError: No available memory for the cache blocks. Try increasing "
        "`gpu_memory_utilization` when initializing the engine.",
    ),
    "context": (
        "ValueError: The model's max seq len (131072) is larger than the maximum number of tokens "
        "that can be stored in KV cache (46064). Try increasing `gpu_memory_utilization` or "
        "decreasing `max_model_len`",
        "ValueError: To serve at least one request with the models's max seq len (40960), (5.62 "
        "GiB KV cache is needed, which is larger than the available KV cache memory (2.21 GiB).",
    ),
    "context-of-model": (
        "ValueError: User-specified max_model_len (65536) is greater than the derived "
        "max_model_len (max_position_embeddings=32768 or model_max_length=None)",
    ),
    "disk": ("OSError: [Errno 28] No space left on device",),
    "bfloat16": (
        "ValueError: Bfloat16 is only supported on GPUs with compute capability of at least 8.0. "
        "Your Tesla T4 GPU has compute capability 7.5.",
    ),
    "gpu-too-old": (
        "RuntimeError: CUDA error: no kernel image is available for execution on the device",
    ),
    "no-gpu": (
        "RuntimeError: Failed to infer device type",
        "RuntimeError: No CUDA GPUs are available",
        "RuntimeError: Found no NVIDIA driver on your system.",
    ),
    "gpu-broken": ("RuntimeError: CUDA error: uncorrectable ECC error encountered",),
    "gpus-do-not-talk": (
        "RuntimeError: NCCL error: unhandled system error (run with NCCL_DEBUG=INFO for details)",
    ),
    "heads": (
        "ValueError: Total number of attention heads (40) must be divisible by tensor parallel "
        "size (3).",
    ),
    "too-few-gpus": (
        "ValueError: World size (4) is larger than the number of available GPUs (1) in this node",
    ),
    "architecture": (
        "ValueError: Model architectures ['Qwen9ForCausalLM'] are not supported for now. "
        "Supported architectures: [...]",
        "ValueError: Model architectures ['X'] failed to be inspected. Please check the logs for "
        "more details.",
        "The checkpoint you are trying to load has model type `qwen9` but Transformers does not "
        "recognize this architecture.",
    ),
    "remote-code": (
        "ValueError: Loading tiiuae/falcon requires you to execute the configuration file in that "
        "repo. Make sure you have read the code there, then set the option "
        "`trust_remote_code=True` to remove this error.",
    ),
    "tokenizer": (
        "OSError: Can't load tokenizer for '/opt/ml/model'. If you were trying to load it from "
        "'https://huggingface.co/models', make sure you don't have a local directory",
    ),
    "weights": (
        "RuntimeError: weight model.embed_tokens.weight does not exist",
        "RuntimeError: Cannot find any model weights with `/opt/ml/model`",
        "safetensors_rust.SafetensorError: Error while deserializing header: HeaderTooLarge",
    ),
    "adapter-rank": ("ValueError: LoRA rank 64 is greater than max_lora_rank 16.",),
    "adapter": (
        "ValueError: While loading /tmp/lora, expected target modules in ['q_proj', 'k_proj'] but "
        "received ['w1']",
    ),
    "arguments": ("api_server.py: error: unrecognized arguments: --speculative-model x",),
    "prefill-memory": (
        "RuntimeError: Not enough memory to handle 4096 prefill tokens. You need to decrease "
        "`--max-batch-prefill-tokens`",
    ),
    "tgi-limits": (
        "error: ArgumentValidation(\"`max_batch_prefill_tokens` must be >= `max_input_length`\")",
    ),
    "hub-network": (
        "OSError: We couldn't connect to 'https://huggingface.co' to load the files",
        "requests.exceptions.ConnectionError: HTTPSConnectionPool(host='huggingface.co', "
        "port=443): Max retries exceeded with url: /api/models/x",
    ),
    "hub-busy": (
        "huggingface_hub.errors.HfHubHTTPError: 429 Client Error: Too Many Requests for url",
    ),
    "shared-memory": ("Bus error (core dumped)",),
    "ram": (
        "ERROR shard-manager: text_generation_launcher: Shard process was signaled to shutdown "
        "with signal 9 rank=0",
        "RuntimeError: DefaultCPUAllocator: can't allocate memory: you tried to allocate 8 bytes",
    ),
    "triton-repository": (
        "E0506 model_repository_manager.cc:1335] Poll failed for model directory 'llama': failed "
        "to open text file for read /models/llama/config.pbtxt: No such file or directory",
    ),
    "triton-backend": (
        "E model_lifecycle.cc:638] failed to load 'llama' version 1: Invalid argument: unable to "
        "find backend library for backend 'vllm', try specifying runtime on the model "
        "configuration.",
    ),
    "start": (
        "CannotStartContainerError. Please ensure the model container for variant AllTraffic "
        "starts correctly when invoked with 'docker run <image> serve'",
    ),
    "broken-image": ("ImportError: /lib/libc.so.6: version `GLIBC_2.38' not found",),
    "worker": (
        "Error: ShardCannotStart",
        "RuntimeError: Engine core initialization failed. See root cause above.",
    ),
    "invocation-time": (
        "Your invocation timed out while waiting for a response from container primary. Review "
        "the latency metrics for each container in Amazon CloudWatch, resolve the issue",
    ),
    "payload": ("413 Request Entity Too Large",),
    "driver": (
        "CUDA driver version is insufficient for CUDA runtime version",
        "nvidia-container-cli: requirement error: unsatisfied condition: cuda>=13.0",
    ),
    "gated": (
        "huggingface_hub.errors.GatedRepoError: 401 Client Error. Cannot access gated repo",
    ),
    "unknown-model": (
        "OSError: nobody/nothing is not a local folder and is not a valid model identifier listed "
        "on 'https://huggingface.co/models'",
    ),
    "wrong-image": ("exec /usr/bin/serve: exec format error",),
    "capacity": (
        "Unable to provision requested ML compute capacity due to InsufficientInstanceCapacity "
        "error. Please retry using a different ML instance type or after some time.",
    ),
    "quota": (
        "The account-level service limit 'ml.g5.xlarge for endpoint usage' is 0 Instances, with "
        "current utilization of 0 Instances and a request delta of 1 Instances.",
    ),
    "download": ("Failed to download model data for container primary from URL: s3://b/m.tar.gz",),
    "archive": (
        "Failed to extract model data archive for container primary from URL s3://b/m.tar.gz. "
        "Please ensure that the object located at the URL is a valid tar.gz archive.",
    ),
    "model-data": (
        "Could not find model data at s3://bucket/model.tar.gz.",
        "Could not access model data at s3://bucket/model.tar.gz. Please ensure that the role "
        "exists and that its trust relationship policy allows the action sts:AssumeRole",
    ),
    "role": (
        "Could not assume role arn:aws:iam::123456789012:role/x. Please ensure that the role "
        "exists and allows principal sagemaker.amazonaws.com to assume the role.",
    ),
    "permission": (
        "User: arn:aws:iam::1:user/x is not authorized to perform: sagemaker:CreateModel",
    ),
    "image": ("Requested image 1.dkr.ecr.us-west-2.amazonaws.com/own:latest not found.",),
    "placement": (
        "There are not enough hardware resources on the instances to deploy the inference "
        "component",
    ),
    "asleep": ("Inference Component has no capacity to process this request.",),
    "network-interfaces": ("NetworkInterfaceLimitExceeded: Network interface limit exceeded",),
    "kms": ("KMS.AccessDeniedException: the ciphertext refers to a key that does not exist",),
    "clock": ("SignatureDoesNotMatch: Signature expired: 20260101T000000Z is now earlier than",),
    "alarm": ("One or more alarms has gone into alarm during the deployment: errors",),
    "exists": ("penstock-bot already exists in stack arn:aws:cloudformation:us-east-1:1:stack/x",),
    "named": ("CloudFormation cannot update a stack when a custom-named resource requires "
              "replacing.",),
    "not-empty": ("The bucket you tried to delete is not empty",),
    "throttling": ("ThrottlingException: Rate exceeded",),
    "health-check": (
        "The primary container for production variant AllTraffic did not pass the ping health "
        "check. Please check CloudWatch logs for this endpoint.",
    ),
}  # fmt: skip
HEALTHY = """
INFO 11-21 10:00:01 [api_server.py:1773] vLLM API server version 0.30.0
INFO non-default args: {'model': '/opt/ml/model', 'enable_lora': True, 'max_loras': 4}
INFO Initializing a V1 LLM engine with config: trust_remote_code=False, dtype=torch.bfloat16,
INFO tensor_parallel_size=1, pipeline_parallel_size=1, disable_custom_all_reduce=False
INFO Loading safetensors checkpoint shards: 100% Completed | 1/1 [00:00<00:00,  1.26it/s]
INFO GPU KV cache size: 46,064 tokens
INFO Maximum concurrency for 8,192 tokens per request: 5.62x
INFO Started server process [1]
INFO "GET /ping HTTP/1.1" 200
"""


def cases() -> list[tuple[str, str]]:
    return [(name, line) for name, lines in LINES.items() for line in lines]


@pytest.mark.parametrize(("name", "line"), cases(), ids=lambda text: text[:30])
def test_each_line_finds_its_remedy(name: str, line: str) -> None:
    found = remedy_for(line)
    assert found is not None
    assert found.name == name
    assert "{1}" not in found.meaning + found.fix


def test_every_remedy_has_a_line() -> None:
    assert {each.name for each in REMEDIES} == set(LINES)


def test_a_healthy_log_finds_none() -> None:
    assert list(remedies_for(HEALTHY)) == []


def test_the_root_cause_comes_before_what_followed_from_it() -> None:
    log = "\n".join(
        LINES[name][-1] for name in ("health-check", "worker", "gpu-memory", "hub-network")
    )
    assert [each.name for each in remedies_for(log)][-2:] == ["worker", "health-check"]
    assert remedy_for("\n".join((LINES["worker"][0], LINES["prefill-memory"][0]))) == remedy_for(
        LINES["prefill-memory"][0]
    )


@pytest.mark.parametrize(
    ("name", "words"),
    [("heads", "40"), ("context-of-model", "65536"), ("adapter-rank", "64"),
     ("quota", "ml.g5.xlarge for endpoint usage"), ("triton-backend", "vllm"),
     ("arguments", "--speculative-model")],
)  # fmt: skip
def test_it_names_what_the_line_names(name: str, words: str) -> None:
    found = remedy_for(LINES[name][0])
    assert found is not None
    assert words in f"{found.meaning} {found.fix}"
