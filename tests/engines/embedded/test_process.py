"""The process: it starts quickly, fails with one clear line, and ends cleanly."""

import json
import signal
import socket
import subprocess
import sys
from pathlib import Path

import httpx
import psutil
import pytest
from tests.engines.embedded.engine_process import EngineProcess
from tests.engines.embedded.random_models import write_model, write_tokenizer

from penstock.engines.embedded.__main__ import parse_arguments


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "penstock.engines.embedded", "--port", "0", *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)


def test_it_is_ready_soon_and_says_where(folder: Path) -> None:
    with EngineProcess("--model", str(folder)) as process:
        # 1.5 s on a quiet machine; how long others make it wait is not its doing.
        spent = psutil.Process(process.process.pid).cpu_times()
        assert spent.user + spent.system < 6
        assert "listens on" in process.log
        assert psutil.Process(process.process.pid).memory_info().rss < 200 * 2**20


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_it_cleanly_in_the_middle_of_an_answer(
    folder: Path, number: signal.Signals
) -> None:
    with EngineProcess("--model", str(folder)) as process:
        body = {"prompt": "The", "max_tokens": 250, "ignore_eos": True, "stream": True}
        with httpx.stream("POST", f"{process.url}/v1/completions", json=body, timeout=60) as reply:
            lines = reply.iter_lines()
            next(lines)
            process.process.send_signal(number)
            rest = [line for line in lines if line]
        assert process.end() == 0
    assert "Traceback" not in process.log
    if rest[-1] != "data: [DONE]":  # it was faster than the signal
        assert json.loads(rest[-1].removeprefix("data: "))["error"]["code"] == 503


def test_a_port_in_use_is_one_line_and_exit_code_2(folder: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        done = run("--model", str(folder), "--port", str(port))
    assert done.returncode == 2
    assert len(done.stderr.splitlines()) == 1
    assert f"cannot listen on 127.0.0.1:{port}" in done.stderr


def test_it_listens_only_where_it_is_told(folder: Path) -> None:
    with EngineProcess("--model", str(folder)) as process:
        listening = [
            connection.laddr.ip
            for connection in psutil.Process(process.process.pid).net_connections()
            if connection.status == psutil.CONN_LISTEN
        ]
    assert listening == ["127.0.0.1"]


def test_a_model_that_does_not_load_is_one_line_and_exit_code_2(tmp_path: Path) -> None:
    for arguments, complaint in (
        (("--model", str(tmp_path / "nowhere")), "config.json"),
        (("--model", str(write_model(tmp_path / "no-tokenizer"))), "tokenizer.json"),
    ):
        done = run(*arguments)
        assert (done.returncode, len(done.stderr.splitlines())) == (2, 1)
        assert complaint in done.stderr


def test_an_adapter_that_does_not_load_stops_the_start(folder: Path, tmp_path: Path) -> None:
    done = run("--model", str(folder), "--enable-lora", "--lora-modules", f"a={tmp_path}/none")
    assert done.returncode == 2
    assert "no adapter folder" in done.stderr


def test_without_lora_there_are_no_routes_to_load_one(folder: Path) -> None:
    with EngineProcess("--model", str(folder), "--max-model-len", "32") as process:
        assert process.post("/v1/load_lora_adapter", {}).status_code == 404
        models = httpx.get(f"{process.url}/v1/models", timeout=60).json()["data"]
    assert [model["max_model_len"] for model in models] == [32]
    assert models[0]["id"] == str(folder)


def test_a_model_too_large_for_the_event_loop_computes_beside_it(tmp_path: Path) -> None:
    """Above 20 M parameters steps run in a thread, and the server answers meanwhile."""
    config = {"vocab_size": 320, "hidden_size": 512, "intermediate_size": 5000, "head_dim": 128}
    folder = write_model(tmp_path / "large", config, dtype="BF16")
    write_tokenizer(folder)
    with EngineProcess("--model", str(folder), "--max-num-seqs", "2") as process:
        body = {"prompt": ["The weather"] * 3, "max_tokens": 5, "temperature": 0}
        texts = [
            choice["text"] for choice in process.post("/v1/completions", body).json()["choices"]
        ]
        assert len(set(texts)) == 1
        assert process.metric("vllm:generation_tokens_total") == 15


def test_wrong_arguments_are_refused(capsys: pytest.CaptureFixture[str]) -> None:
    for arguments in (
        ["--max-model-len", "0"],
        ["--lora-modules", "a=b"],
        ["--enable-lora", "--lora-modules", "a"],
        ["--tool-call-parser", "other"],
        ["--mod", "x"],
    ):
        with pytest.raises(SystemExit) as caught:
            parse_arguments(arguments)
        assert caught.value.code == 2
    assert "NAME=DIR" in capsys.readouterr().err
