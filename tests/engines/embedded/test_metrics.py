"""`/metrics` has vLLM's names, and histograms that Prometheus can read."""

from prometheus_client.parser import text_string_to_metric_families

from penstock.engines.embedded.metrics import State, Tally, expose


def test_the_names_and_values_are_those_of_vllm() -> None:
    tally = Tally(prompt_tokens=5, generation_tokens=7)
    tally.finished["stop"] = 2
    for seconds in (0.0005, 0.03, 0.03, 9999.0):
        tally.first_token.observe(seconds)
    state = State(3, 1, 0.25, 4, ["b", "a", "b"], ["c"], now_s=123.0)
    text = expose(tally, state, 'my "model"').decode()
    samples = {
        (sample.name, sample.labels.get("le") or sample.labels.get("finished_reason")): sample
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }
    values = {key: sample.value for key, sample in samples.items()}
    assert values["vllm:num_requests_running", None] == 3
    assert values["vllm:num_requests_waiting", None] == 1
    assert values["vllm:kv_cache_usage_perc", None] == 0.25
    assert values["vllm:prompt_tokens_total", None] == 5
    assert values["vllm:generation_tokens_total", None] == 7
    assert values["vllm:request_success_total", "stop"] == 2
    assert values["vllm:request_success_total", "error"] == 0
    first = "vllm:time_to_first_token_seconds"
    assert values[f"{first}_bucket", "0.001"] == 1
    assert values[f"{first}_bucket", "0.04"] == 3
    assert values[f"{first}_bucket", "+Inf"] == values[f"{first}_count", None] == 4
    assert values[f"{first}_sum", None] == 0.0605 + 9999.0
    for name in ("inter_token_latency", "request_queue_time", "e2e_request_latency"):
        assert values[f"vllm:{name}_seconds_count", None] == 0
    info = samples["vllm:lora_requests_info", None]
    assert info.value == 123.0
    assert info.labels == {
        "model_name": 'my "model"',
        "max_lora": "4",
        "running_lora_adapters": "a,b",
        "waiting_lora_adapters": "c",
    }
