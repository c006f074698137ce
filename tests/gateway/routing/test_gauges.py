"""What is read of an engine's `/metrics`, and what becomes of it when nothing new comes."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from penstock.gateway.routing.gauges import Reading, Work, read_gauges

VLLM = b"""# HELP vllm:num_requests_running Number of requests in model execution batches.
# TYPE vllm:num_requests_running gauge
vllm:num_requests_running{engine="0",model_name="a b} 9"} 3.0
vllm:num_requests_waiting{engine="0",model_name="m"} 4.0
vllm:num_requests_waiting_by_reason{engine="0",reason="capacity"} 100.0
vllm:kv_cache_usage_perc{engine="0",model_name="m"} 0.25
vllm:num_requests_running{engine="1",model_name="m"} 1.0
vllm:kv_cache_usage_perc{engine="1",model_name="m"} 0.5
python_info{implementation="CPython"} 1.0
"""


def test_the_gauges_of_vllm() -> None:
    assert read_gauges(VLLM) == Reading(4.0, 4.0, 0.5)


@pytest.mark.parametrize("text", [b"", b"<html>", b"vllm:num_requests_running", b"up 1\n"])
def test_no_gauges(text: bytes) -> None:
    assert read_gauges(text) is None


@given(st.binary(max_size=300))
def test_nothing_breaks_it(text: bytes) -> None:
    read_gauges(text)
    read_gauges(b"vllm:num_requests_running " + text)


def test_what_is_ours_is_not_counted_twice() -> None:
    work = Work()
    work.learn(Reading(5, 2, 0.0), own=4)
    assert (work.foreign, work.heft) == (3.0, 1.0)
    work.learn(Reading(2, 0, 1.0), own=9)
    assert (work.foreign, work.heft) == (0.0, 2.0)


def test_old_gauges_are_forgotten() -> None:
    work = Work()
    work.learn(Reading(8, 8, 0.5), own=0)
    seen = [work.foreign]
    for _ in range(4):
        work.miss()
        seen.append(work.foreign)
    assert seen == [16, 8, 4, 2, 0]
    assert work.heft == 1.0
    work.learn(Reading(8, 8, 0.5), own=0)
    assert work.foreign == 16
