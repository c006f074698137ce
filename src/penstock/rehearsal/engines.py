"""The engine processes behind endpoints, each on a leash that ends it with the stand-in."""

import http.client
import json
import time
from pathlib import Path
from typing import Any

from penstock.engines.embedded_launch import embedded_launch
from penstock.engines.launch import Launch
from penstock.manifest.model import Manifest
from penstock.rehearsal.leashed import Leashed
from penstock.targets.local.ports import free_port

POLL_S = 0.05


class EngineProcess:
    """One copy of a model: the embedded engine on a port of its own."""

    def __init__(self, log: Path) -> None:
        launch = _launch(free_port())
        self.url, self.log, self._ready_s = launch.url, log, launch.ready_timeout_s
        self.port = int(launch.url.rpartition(":")[2])
        self._process = Leashed(launch.argv, launch.env, log)

    def connect(self, timeout_s: float = 60.0) -> http.client.HTTPConnection:
        """Return a new connection to the engine."""
        return http.client.HTTPConnection("127.0.0.1", self.port, timeout=timeout_s)

    def wait_ready(self) -> bool:
        """Wait until it is healthy; false when it ended or took too long."""
        until = time.monotonic() + self._ready_s
        while time.monotonic() < until and self.alive():
            if self._ask("GET", "/health")[0] == 200:
                return True
            time.sleep(POLL_S)
        return False

    def alive(self) -> bool:
        """Whether the process still runs."""
        return self._process.alive()

    def load_adapter(self, name: str, folder: Path) -> str:
        """Load a LoRA adapter; returns why it could not be, or nothing."""
        wish = {"lora_name": name, "lora_path": str(folder), "load_inplace": True}
        status, body = self._ask("POST", "/v1/load_lora_adapter", wish)
        return "" if status == 200 else body.decode(errors="replace")

    def unload_adapter(self, name: str) -> None:
        """Forget a LoRA adapter."""
        self._ask("POST", "/v1/unload_lora_adapter", {"lora_name": name})

    def begin_to_stop(self) -> None:
        """Tell it to end, and do not wait."""
        self._process.begin_to_stop()

    def stop(self) -> None:
        """End it; the leash kills what does not end by itself."""
        self._process.stop()

    def _ask(self, method: str, path: str, body: Any = None) -> tuple[int, bytes]:
        connection = self.connect()
        try:
            connection.request(method, path, json.dumps(body) if body else None)
            answer = connection.getresponse()
            return answer.status, answer.read()
        except OSError as error:
            return 0, str(error).encode()
        finally:
            connection.close()


def _launch(port: int) -> Launch:
    extra = ("--enable-lora", "--max-loras", "64")
    manifest = Manifest.model_validate({"engine": {"kind": "embedded", "extra_args": extra}})
    return embedded_launch(manifest, port)
