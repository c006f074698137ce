import os
import time
from pathlib import Path

import pytest

from penstock.cli.address import Address, find_address
from penstock.ground.errors import UserError
from penstock.targets.local.state import RunState, birth, home, write_state


@pytest.fixture
def stack(tmp_path: Path) -> Path:
    """A folder whose `run.json` says that this very process is its supervisor."""
    state = RunState(
        name="penstock",
        pid=os.getpid(),
        born=birth(os.getpid()),
        phase="ready",
        url="http://127.0.0.1:8080",
        api_key="sk-local",
        model="penstock-tiny",
        engine_url="http://127.0.0.1:9",
        started_s=time.time(),
        services=(),
    )
    home(tmp_path).mkdir()
    write_state(tmp_path, state)
    return tmp_path


LOCAL = Address("http://127.0.0.1:8080", "sk-local", "penstock-tiny")


def test_the_stack_of_this_folder_is_found(stack: Path) -> None:
    assert find_address(None, None, stack) == LOCAL


def test_the_stack_of_a_folder_above_is_found(stack: Path) -> None:
    below = stack / "a" / "b"
    below.mkdir(parents=True)
    assert find_address(None, None, below) == LOCAL


def test_a_key_of_ones_own_goes_before(stack: Path) -> None:
    assert find_address(None, "sk-mine", stack).key == "sk-mine"


@pytest.mark.parametrize("url", ["http://127.0.0.1:8080", "http://127.0.0.1:8080/v1/"])
def test_the_local_key_goes_to_the_local_stack(stack: Path, url: str) -> None:
    assert find_address(url, None, stack) == LOCAL


@pytest.mark.parametrize("url", ["http://127.0.0.1:8081", "https://example.com/v1"])
def test_the_local_key_goes_nowhere_else(stack: Path, url: str) -> None:
    assert find_address(url, None, stack) == Address(url.removesuffix("/v1"))


def test_without_a_stack_an_address_is_needed(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no address to talk to: no stack runs in"):
        find_address(None, None, tmp_path)


@pytest.mark.parametrize("url", ["127.0.0.1:8080", "ftp://x", "http://", "http://[::1", ""])
def test_an_address_is_checked(tmp_path: Path, url: str) -> None:
    with pytest.raises(UserError, match="is no address"):
        find_address(url, None, tmp_path)
