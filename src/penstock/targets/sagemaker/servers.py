"""The container's environment: the same engine settings as anywhere else, in each one's spelling.

The settings come from the command line that `engines/vllm.py` makes for a GPU, so that what is
tried on a laptop is what is shipped. AWS's vLLM container turns `SM_VLLM_MAX_MODEL_LEN=4096` into
`--max-model-len 4096` and `SM_VLLM_ENFORCE_EAGER=true` into `--enforce-eager`
(https://aws.github.io/deep-learning-containers/vllm/configuration/); LMI takes vLLM's arguments as
`OPTION_...`, some under names of its own.
"""

from collections.abc import Iterator, Mapping

from penstock.engines.model_folder import ModelFacts
from penstock.engines.vllm import VllmHost, vllm_launch
from penstock.ground.errors import ManifestError
from penstock.manifest.model import Manifest

MODEL_PLACE = "/opt/ml/model"
"""Where SageMaker puts what it fetched from S3."""
LOCAL_ONLY = {
    "--host",
    "--port",
    "--lora-modules",
    "--disable-access-log-for-endpoints",
    "--tensor-parallel-size",
}
"""Arguments of a local engine that the container sets itself or that are set below."""
LMI_NAMES = {
    "--max-num-seqs": "OPTION_MAX_ROLLING_BATCH_SIZE",
    "--quantization": "OPTION_QUANTIZE",
    "--revision": "OPTION_REVISION",
    "--served-model-name": "SERVING_LOAD_MODELS_NAME",
}
"""Where LMI's name of a setting is not vLLM's."""


def vllm_environment(manifest: Manifest, source: str, gpus: int, copies: int) -> dict[str, str]:
    """The environment of AWS's vLLM container; `source` is empty for a model from S3."""
    env = {} if source == MODEL_PLACE else {"SM_VLLM_MODEL": source}
    for flag, value in vllm_flags(manifest, ModelFacts(source)):
        env["SM_VLLM_" + flag.removeprefix("--").replace("-", "_").upper()] = value
    if gpus > 1:
        env["SM_VLLM_TENSOR_PARALLEL_SIZE"] = str(gpus)
    if copies > 1:
        env["SM_VLLM_DATA_PARALLEL_SIZE"] = str(copies)
    if manifest.adapters:
        env["VLLM_ALLOW_RUNTIME_LORA_UPDATING"] = "True"
    return env | {"VLLM_NO_USAGE_STATS": "1"}


def lmi_environment(manifest: Manifest, source: str, gpus: int) -> dict[str, str]:
    """The environment of LMI: vLLM behind DJL Serving, in its asynchronous mode."""
    env = {"HF_MODEL_ID": source}
    for flag, value in vllm_flags(manifest, ModelFacts(source)):
        if flag == "--served-model-name":
            continue
        plain = "OPTION_" + flag.removeprefix("--").replace("-", "_").upper()
        env[LMI_NAMES.get(flag, plain)] = value
    return env | {"TENSOR_PARALLEL_DEGREE": str(gpus) if gpus else "max"}


TGI_QUANTIZATION = {"nf4": "bitsandbytes-nf4", "int8": "bitsandbytes"}
"""Where TGI's name of a quantisation is another one."""


def tgi_environment(manifest: Manifest, source: str, gpus: int) -> dict[str, str]:
    """The environment of TGI, which is in maintenance: it gets no new models."""
    model, engine = manifest.model, manifest.engine
    env = {"HF_MODEL_ID": source, "SM_NUM_GPUS": str(max(gpus, 1))}
    if model.context:
        env["MAX_TOTAL_TOKENS"] = str(model.context)
        env["MAX_INPUT_TOKENS"] = str(model.context - 1)
    if model.quantization != "none":
        env["QUANTIZE"] = TGI_QUANTIZATION.get(model.quantization, model.quantization)
    if model.dtype != "auto" and model.quantization == "none":
        env["DTYPE"] = model.dtype
    if model.revision:
        env["REVISION"] = model.revision
    if engine.max_sequences:
        env["MAX_CONCURRENT_REQUESTS"] = str(engine.max_sequences)
    return env


def vllm_flags(manifest: Manifest, facts: ModelFacts) -> Iterator[tuple[str, str]]:
    """Each flag that `vllm serve` gets on a machine with GPUs, `true` where it has no value.

    Raises:
        ManifestError: a flag has several values, which a variable cannot carry.
    """
    launch = vllm_launch(manifest, facts, VllmHost(command=(), device="cuda"), port=8080)
    arguments = launch.argv[2:]
    taken: dict[str, list[str]] = {}
    flag = ""
    for argument in arguments:
        if argument.startswith("--"):
            flag, equals, value = argument.partition("=")
            taken[flag] = [value] if equals else []
        else:
            taken[flag].append(argument)
    for name, values in taken.items():
        if name in LOCAL_ONLY:
            continue
        if len(values) > 1:
            raise ManifestError(
                f"engine.extra_args: {name} has {len(values)} values",
                why="a container of SageMaker is set by variables, which carry one each",
                fix="Give it one value, or bring an image of your own",
            )
        yield name, values[0] if values else "true"


def hub_token(environment: Mapping[str, str], reference: str | None) -> dict[str, str]:
    """`environment` with the Hub's token, which CloudFormation reads out of Secrets Manager."""
    if reference is None:
        return dict(environment)
    arn = reference.removeprefix("${secret:").removesuffix("}")
    return {**environment, "HF_TOKEN": f"{{{{resolve:secretsmanager:{arn}:SecretString}}}}"}
