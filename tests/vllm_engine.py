"""The real vLLM for tests: started through Penstock's own launch, on its leash, once a session."""

import os
import platform
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path

import httpx
import pytest

from penstock.engines.model_folder import read_facts
from penstock.engines.vllm import VllmHost, vllm_launch
from penstock.manifest.model import Manifest
from penstock.targets.local.child import LEASH
from penstock.targets.local.ports import free_port

installable = pytest.mark.skipif(
    platform.system() != "Linux",
    reason="vLLM is installed on Linux alone; that other systems are told so is tested everywhere",
)
"""Marks tests of installing vLLM."""
KV_CACHE = ("--kv-cache-memory-bytes", str(256 << 20))


class VllmEngines:
    """Servers by their settings; the fixture `vllm_engines` ends them with the session."""

    def __init__(self, host: VllmHost, folder: Path) -> None:
        self._host, self._folder = host, folder
        self._running: dict[str, tuple[str, subprocess.Popen[bytes]]] = {}

    def url(
        self,
        model: Path,
        *,
        name: str,
        adapters: Mapping[str, Path] | None = None,
        engine: Mapping[str, object] | None = None,
    ) -> str:
        """Address (without `/v1`) of a vLLM that serves the folder `model` as `name`.

        `engine` holds fields of the manifest's `engine`. A second call with the same settings
        gives the same server. Starting takes 20 to 40 s.
        """
        key = repr((model, name, adapters, engine))
        if key not in self._running:
            self._running[key] = self._start(model, name, adapters or {}, engine or {})
        return self._running[key][0]

    def end(self) -> None:
        """End all of them, and wait until nothing is left."""
        for _, leash in self._running.values():
            leash.communicate()

    def _start(
        self, model: Path, name: str, adapters: Mapping[str, Path], engine: Mapping[str, object]
    ) -> tuple[str, subprocess.Popen[bytes]]:
        folders = {adapter: str(folder) for adapter, folder in adapters.items()}
        manifest = Manifest.model_validate(
            {
                "model": {"id": str(model), "served_name": name},
                "engine": {"kind": "vllm", "extra_args": KV_CACHE, **engine},
                "adapters": folders,
            }
        )
        launch = vllm_launch(manifest, read_facts(str(model), folders), self._host, free_port())
        log = self._folder / f"{len(self._running)}.log"
        leash = subprocess.Popen(
            [sys.executable, "-I", "-S", str(LEASH), "10", str(log), "10000000", *launch.argv],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            env={**os.environ, **launch.env},
            start_new_session=True,
        )
        deadline_s = time.monotonic() + launch.ready_timeout_s
        while not _healthy(launch.url):
            if leash.poll() is not None or time.monotonic() > deadline_s:
                leash.communicate()
                raise AssertionError(f"vLLM did not start:\n{log.read_text()[-4000:]}")
            time.sleep(0.2)
        return launch.url, leash


def _healthy(url: str) -> bool:
    try:
        return httpx.get(f"{url}/health", timeout=5).is_success
    except httpx.TransportError:
        return False
