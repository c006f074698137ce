"""Who is measured: how each gateway is started in front of the mock engines."""

import contextlib
import hashlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
import venv
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from bench.stand import BUILD, KEY, MODEL, Cores, free_port, running

ROUTER_PIN = "vllm-router==0.1.17"
LITELLM_PIN = "litellm[proxy]==1.106.2"


def base_settings(engines: Sequence[int], port: int) -> dict[str, Any]:
    """Key check, rate limit and usage counting; nothing is written anywhere."""
    digest = hashlib.sha256(KEY.encode()).hexdigest()
    tenant = {
        "name": "bench",
        "requests_per_second": 1e7,
        "burst": 10_000_000,
        "requests_per_day": 10**12,
    }
    return {
        "engines": [
            {"name": f"mock-{engine}", "url": f"http://127.0.0.1:{engine}"} for engine in engines
        ],
        "models": [{"name": MODEL, "engines": [f"mock-{engine}" for engine in engines]}],
        "tenants": [tenant],
        "keys": [{"digest": digest, "hint": KEY[:8], "tenant": "bench"}],
        "port": port,
    }


@contextlib.contextmanager
def penstock(engines: Sequence[int], cores: Cores) -> Iterator[tuple[int, int]]:
    """Penstock with key check, rate limit and usage counting on; yields port and pid."""
    port = free_port()
    with gateway_process(base_settings(engines, port), "penstock", cores) as pid:
        yield port, pid


@contextlib.contextmanager
def penstock_ledger(
    engines: Sequence[int], cores: Cores, *, audited: bool = False
) -> Iterator[tuple[int, int]]:
    """The same with budgets and the ledger in an SQLite file; yields port and pid.

    `audited`: and a sealed audit of all requests, without what was said in them.
    """
    port = free_port()
    with tempfile.TemporaryDirectory() as folder:
        settings = with_ledger(base_settings(engines, port), folder)
        if audited:
            key = Path(folder) / "audit.key"
            key.write_text("ab" * 32)
            settings["audit"] = {"folder": f"{folder}/audit", "key_file": str(key)}
        name = "penstock-audit" if audited else "penstock-ledger"
        with gateway_process(settings, name, cores) as pid:
            yield port, pid


def with_ledger(settings: dict[str, Any], folder: str) -> dict[str, Any]:
    """Return settings with budgets and a ledger, written by a process of its own."""
    settings["registry"] = {
        "folder": f"{folder}/usage",
        "database": f"{folder}/registry.db",
        "own_process": True,
    }
    settings["tenants"][0]["budgets"] = {"usd_per_month": 1e6, "tokens_per_month": 10**12}
    settings["models"][0] |= {
        "price": {"prompt": 100_000, "cached": 50_000, "completion": 400_000},
        "context": 4096,
    }
    return settings


def with_everything(settings: dict[str, Any], folder: str, *, routed: bool) -> dict[str, Any]:
    """Return settings with all that several tenants need; see `penstock_features`."""
    with_ledger(settings, folder)
    model, tenant = settings["models"][0], settings["tenants"][0]
    tenant |= {"tokens_per_minute": 10**9, "concurrent_requests": 10_000}
    model["limits"] = {"requests_per_second": 1e7, "concurrent_requests": 10_000}
    settings |= {"queue": {"max_running": 10_000}, "cache": {}}
    settings["audit"] = {"folder": f"{folder}/audit"}
    if routed:
        settings["models"].append({**model, "name": "stand-in"})
        model["routing"] = {"fallback": ["stand-in"]}
    return settings


@contextlib.contextmanager
def penstock_features(
    engines: Sequence[int], cores: Cores, *, routed: bool = False
) -> Iterator[tuple[int, int]]:
    """The same with everything that several tenants need; yields port and pid.

    Ledger, budgets, limits counted by a Valkey or Redis server (where there is one), a fair queue
    that is never full, an audit of who asked what, and a response cache that each request passes
    by: an answer out of it would cost less than all of this. `routed`: and another model that
    stands in when no engine of this one can answer.
    """
    port = free_port()
    with contextlib.ExitStack() as stack:
        folder = stack.enter_context(tempfile.TemporaryDirectory())
        settings = with_everything(base_settings(engines, port), folder, routed=routed)
        server = shutil.which("valkey-server") or shutil.which("redis-server")
        if server is not None:
            counters = free_port()
            argv = [
                server,
                "--port",
                str(counters),
                "--bind",
                "127.0.0.1",
                "--save",
                "",
                "--dir",
                folder,
            ]
            stack.enter_context(running(Cores.pin(cores.tools, argv), "valkey"))
            os.environ["BENCH_COUNTERS"] = f"redis://127.0.0.1:{counters}"
            settings["registry"]["counters_env"] = "BENCH_COUNTERS"
        name = "penstock-routed" if routed else "penstock-features"
        pid = stack.enter_context(gateway_process(settings, name, cores))
        yield port, pid


@contextlib.contextmanager
def gateway_process(settings: dict[str, Any], name: str, cores: Cores) -> Iterator[int]:
    """Run a gateway with these settings; yields its pid."""
    path = BUILD / f"{name}.json"
    path.write_text(json.dumps(settings))
    argv = [sys.executable, "-m", "penstock.cli.gateway", "--settings", str(path)]
    with running(Cores.pin(cores.contender, argv), name) as pid:
        yield pid


@contextlib.contextmanager
def nginx(engines: Sequence[int], cores: Cores) -> Iterator[tuple[int, int]]:
    """One nginx worker with a key check and a rate limit; yields port and pid."""
    program = shutil.which("nginx") or "/usr/sbin/nginx"
    port = free_port()
    upstream = " ".join(f"server 127.0.0.1:{engine};" for engine in engines)
    config = BUILD / "nginx.conf"
    config.write_text(f"""
worker_processes 1; daemon off; pid {BUILD}/nginx.pid; error_log {BUILD}/nginx-error.log;
events {{ worker_connections 8192; }}
http {{
  access_log off; keepalive_requests 1000000000;
  client_body_temp_path {BUILD}/ngx-body; proxy_temp_path {BUILD}/ngx-proxy;
  limit_req_zone $http_authorization zone=keys:1m rate=1000000r/s;
  map $http_authorization $known {{ default 0; "Bearer {KEY}" 1; }}
  upstream engines {{ least_conn; {upstream} keepalive 1024; keepalive_requests 1000000000; }}
  server {{
    listen 127.0.0.1:{port} backlog=4096;
    if ($known = 0) {{ return 401; }}
    location / {{
      limit_req zone=keys burst=1000000 nodelay;
      proxy_pass http://engines; proxy_http_version 1.1; proxy_set_header Connection "";
      proxy_buffering off;
    }}
  }}
}}
""")
    argv = [program, "-p", str(BUILD), "-c", str(config)]
    with running(Cores.pin(cores.contender, argv), "nginx") as pid:
        yield port, pid


@contextlib.contextmanager
def vllm_router(engines: Sequence[int], cores: Cores) -> Iterator[tuple[int, int]]:
    """vllm-router (Rust) as its documentation starts it; yields port and pid."""
    program = _installed("vllm-router", ROUTER_PIN) / "bin" / "vllm-router"
    port, metrics = free_port(), free_port()
    urls = [f"http://127.0.0.1:{engine}" for engine in engines]
    argv = [str(program), "--worker-urls", *urls, "--policy", "round_robin"]
    argv += ["--host", "127.0.0.1", "--port", str(port), "--prometheus-port", str(metrics)]
    argv += ["--prometheus-host", "127.0.0.1", "--log-level", "error"]
    argv += ["--max-concurrent-requests", "4096"]
    env = {"TOKIO_WORKER_THREADS": "1"}
    with running(Cores.pin(cores.contender, argv), "vllm-router", env) as pid:
        yield port, pid


@contextlib.contextmanager
def litellm(engines: Sequence[int], cores: Cores) -> Iterator[tuple[int, int]]:
    """LiteLLM's proxy with a master key, one worker; yields port and pid."""
    program = _installed("litellm", LITELLM_PIN) / "bin" / "litellm"
    port = free_port()
    deployments = [
        {
            "model_name": MODEL,
            "litellm_params": {
                "model": f"openai/{MODEL}",
                "api_base": f"http://127.0.0.1:{engine}/v1",
                "api_key": "none",
            },
        }
        for engine in engines
    ]
    config = BUILD / "litellm.json"  # JSON is YAML
    config.write_text(
        json.dumps({"model_list": deployments, "general_settings": {"master_key": KEY}})
    )
    argv = [str(program), "--config", str(config), "--host", "127.0.0.1"]
    argv += ["--port", str(port), "--num_workers", "1", "--telemetry", "False"]
    env = {"LITELLM_LOCAL_MODEL_COST_MAP": "True", "LITELLM_LOG": "ERROR"}
    with running(Cores.pin(cores.contender, argv), "litellm", env) as pid:
        yield port, pid


def install_nginx() -> None:
    """Install nginx where it is missing and we may.

    Raises:
        SystemExit: we may not.
    """
    if shutil.which("nginx") or Path("/usr/sbin/nginx").exists():
        return
    if shutil.which("apt-get") is None or os.geteuid() != 0:
        raise SystemExit("the bench needs nginx: install it, or run this as root on Debian")
    subprocess.run(["apt-get", "update", "-qq"], check=True)
    subprocess.run(["apt-get", "install", "-y", "-qq", "nginx-light"], check=True)


def _installed(name: str, pin: str) -> Path:
    folder = BUILD / f"venv-{name}"
    if not (folder / "complete").exists():
        print(f"installing {pin}", file=sys.stderr)
        venv.create(folder, with_pip=True, clear=True)
        pip = [str(folder / "bin" / "python"), "-m", "pip", "install", "--quiet", pin]
        subprocess.run(pip, check=True)
        (folder / "complete").touch()
    return folder
