"""What containers say when they cannot start or answer, and what helps: vLLM, LMI, TGI, Triton.

Each row is a `remedies.Remedy`. More telling words stand first. `docs/doctor.md` says from which
guide each one is.
"""

LARGER = "take a larger machine (target.instances): `penstock plan` says what fits"

CONTAINER = (
    (
        "disk",
        r"No space left on device(?!.*shm)|not enough (?:free )?disk space",
        "The machine's disk is full",
        f"Quantise the model (model.quantization), or {LARGER}; an archive needs its size twice",
    ),
    (
        "context",
        r"max(?:imum)? seq(?:uence)? len(?:gth)? \(?\d+\)? is larger than the maximum number of "
        r"tokens|KV cache is needed, which is larger",
        "The longest prompt plus answer does not fit the memory that is left for the KV cache",
        f"Lower model.context, set model.quantization, or {LARGER}",
    ),
    (
        "context-of-model",
        r"max_model_len \((\d+)\) is greater than the derived max_model_len",
        "model.context ({1}) is more than the model was made for",
        "Lower model.context, or leave it out",
    ),
    (
        "bfloat16",
        r"Bfloat16 is only supported on GPUs with compute capability",
        "This GPU (T4, V100) does not compute in bfloat16",
        "Set model.dtype: float16, or take a newer GPU (g5, g6)",
    ),
    (
        "gpu-too-old",
        r"no kernel image is available for execution on the device|requires? compute capability|"
        r"not supported on (?:this|the current) (?:GPU|platform|hardware)",
        "The image or the quantisation needs a newer GPU",
        "Take a newer machine (target.instances), or another model.quantization",
    ),
    (
        "no-gpu",
        r"Failed to infer device type|No CUDA GPUs are available|Found no NVIDIA driver|"
        r"NVIDIA-SMI has failed|libcuda\.so\.1: cannot open shared object",
        "The container sees no GPU",
        "Take a machine with one (target.instances), and one copy's accelerators in "
        "`mode: components`; if there is one, the driver is wrong: target.inference_ami",
    ),
    (
        "gpu-broken",
        r"uncorrectable ECC error|CUDA error: (?:unspecified launch failure|an illegal memory)|"
        r"NVRM: Xid|GPU has fallen off the bus",
        "The GPU failed, or a CUDA graph did",
        "Deploy again, which takes another machine; if it comes back, set engine.eager: true",
    ),
    (
        "gpus-do-not-talk",
        r"NCCL error|ncclCommInitRank|ncclUnhandledCudaError|ncclSystemError|"
        r"DistNetworkError",
        "The GPUs of one copy cannot talk to each other",
        "Try a machine with fewer GPUs a copy (engine.tensor_parallel), or NCCL_P2P_DISABLE=1 in "
        "an image of yours; it costs speed",
    ),
    (
        "heads",
        r"attention heads \(?(\d+)\)? must be divisible by (?:the )?tensor parallel",
        "The model's {1} attention heads cannot be shared among so many GPUs",
        "Set engine.tensor_parallel to a divisor of {1}",
    ),
    (
        "too-few-gpus",
        r"[Ww]orld size \(?\d+\)? is larger than the number of available GPUs|"
        r"[Tt]ensor parallel (?:size|degree).{0,40}(?:exceeds|greater|larger)",
        "engine.tensor_parallel is more than the GPUs that the container has",
        "Lower it, or take a machine with more GPUs",
    ),
    (
        "architecture",
        r"Model architectures .{0,200}(?:not supported|failed to be inspected)|"
        r"does not recognize this architecture|'NoneType' object is not iterable.*architectures|"
        r"Unsupported model type",
        "This engine's version does not know the model's architecture",
        "Take a newer image (target.image), or another engine.kind",
    ),
    (
        "remote-code",
        r"(?:requires|option|argument|set|pass(?:ing)?|with) .{0,60}trust_remote_code ?= ?True",
        "The model brings code of its own, which is not run unasked",
        "Read that code; then trust it in an image of yours, or choose another model",
    ),
    (
        "tokenizer",
        r"Can't load tokenizer|[Tt]okenizer.{0,80}(?:not found|does not exist)|"
        r"Couldn't instantiate the backend tokenizer",
        "The model's files lack its tokenizer",
        "Put tokenizer.json and tokenizer_config.json beside the weights",
    ),
    (
        "weights",
        r"weight \S+ does not exist|Cannot find any model weights|no safetensors weights|"
        r"Error while deserializing header|InvalidHeader(?:Length|Deserialization)",
        "The weights are missing, damaged, or of another model",
        "Check the files where model.id says; a Git LFS pointer is no weight",
    ),
    (
        "adapter-rank",
        r"LoRA rank (\d+) is greater than max_lora_rank",
        "An adapter has rank {1}, which is more than the engine was started for",
        "Set --max-lora-rank (engine.extra_args; LMI: OPTION_MAX_LORA_RANK) to {1}",
    ),
    (
        "adapter",
        r"adapter_config\.json.{0,80}(?:not found|missing|No such file)|"
        r"is not (?:a )?supported LoRA|expected target modules",
        "An adapter's archive is not one, or is for another model",
        "adapter_config.json and adapter_model.safetensors must lie at the root of the .tar.gz",
    ),
    (
        "arguments",
        r"error: unrecognized arguments: (.+)|error: argument (--\S+)",
        "The engine does not know an argument: {1}",
        "Correct engine.extra_args, or take the image that it was written for",
    ),
    (
        "prefill-memory",
        r"Not enough memory to handle (\d+) prefill tokens",
        "TGI cannot hold {1} prompt tokens at once",
        f"Lower engine.max_batched_tokens or model.context, or {LARGER}",
    ),
    (
        "tgi-limits",
        r"`max_(?:input_length|input_tokens|total_tokens|batch_prefill_tokens)`.{0,60}must be",
        "TGI's limits contradict each other",
        "max_input_tokens < max_total_tokens, max_batch_prefill_tokens >= max_input_tokens: set "
        "model.context",
    ),
    (
        "hub-network",
        r"couldn't connect to 'https://huggingface\.co|Max retries exceeded with url|"
        r"Temporary failure in name resolution|ConnectTimeoutError|Network is unreachable",
        "The container cannot reach the Hub",
        "Give its subnets a NAT gateway, or put the model into S3 (model.id: s3://...)",
    ),
    (
        "hub-busy",
        r"429 Client Error: Too Many Requests",
        "The Hub was asked too often from that address",
        "Deploy again in a few minutes with target.hub_token set, or put the model into S3",
    ),
    (
        "shared-memory",
        r"Bus error|insufficient shared memory|No space left on device.{0,80}shm|"
        r"Unable to increase .{0,20}shared memory",
        "The container's shared memory is too small",
        "Lower engine.tensor_parallel; with Triton lower the instances of the model",
    ),
    (
        "ram",
        r"Shard process was signaled to shutdown with signal 9|signal: 9|\bSIGKILL\b|"
        r"Cannot allocate memory|DefaultCPUAllocator: can't allocate memory|OOMKilled",
        "The machine ran out of RAM, not of GPU memory",
        f"In `mode: components` raise target.copy_memory_mib, or {LARGER}",
    ),
    (
        "triton-repository",
        r"Poll failed for model directory|failed to (?:load|open) .{0,80}config\.pbtxt|"
        r"Invalid model name|no model version was found|"
        r"must specify (?:the )?'?platform'? or (?:the )?'?backend",
        "Triton finds no model in its repository",
        "The layout must be MODEL/config.pbtxt and MODEL/1/model.json: `penstock render` packs it",
    ),
    (
        "triton-backend",
        r"unable to find backend library for backend '(\w+)'|"
        r"unable to find '(?:libtriton_|/opt/tritonserver/backends)",
        "The image lacks Triton's backend {1}",
        "Take an image with the vLLM backend: target.image",
    ),
    (
        "start",
        r"CannotStartContainer(?:Error)?",
        "SageMaker could not start the container's program",
        "It is started as `docker run IMAGE serve`: the image needs a `serve` on its path, or an "
        "entry point that takes that word",
    ),
    (
        "invocation-time",
        r"invocation timed out while waiting for a response|ModelInvocationTimeExceeded",
        "A whole answer took longer than the 60 s that SageMaker gives",
        "Stream it, ask for fewer tokens, or set target.mode: async",
    ),
    (
        "payload",
        r"Request Entity Too Large|payload .{0,40}(?:exceed|larger)|body is larger than \d+ ?MB",
        "A request is larger than SageMaker takes",
        "Send less, or set target.mode: async, which takes 1 GB",
    ),
)

CONSEQUENCES = (
    (
        "broken-image",
        r"ModuleNotFoundError|ImportError: |undefined symbol|GLIBC_\d",
        "The image's software does not fit together",
        "Take another tag (target.image)",
    ),
    (
        "worker",
        r"ShardCannotStart|Shard \d+ failed to start|Failed to start worker|"
        r"Worker .{0,40}(?:died|exited|disconnected)|Backend worker process died|"
        r"EngineDeadError|Engine core initialization failed|ModelServerException",
        "The engine's worker died while it started; its reason stands further up in the log",
        "Read the log's first error: `penstock logs -n 400`",
    ),
)
"""What is said after something else went wrong, which may be named further up."""
