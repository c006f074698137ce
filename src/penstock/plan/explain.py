"""`--explain`: the arithmetic behind the answer, with the source of every figure."""

from collections.abc import Iterator
from math import exp

from penstock.catalog.records import Dated
from penstock.plan.report import Report
from penstock.sizing.calibration import kind_of
from penstock.sizing.candidate import Candidate
from penstock.sizing.precision import compute_tflops, weight_bits
from penstock.sizing.speed import arrival_ms, decode_step_ms, prefill_ms


def lines(report: Report) -> Iterator[str]:
    """How the figures of the answer come about; nothing when there is no answer."""
    best = report.best
    if best is None:
        return
    yield ""
    yield "the arithmetic:"
    for line in (*_memory(best, report), *_speed(best, report), *_money(best, report)):
        yield f"  {line}"


def _memory(best: Candidate, report: Report) -> Iterator[str]:
    shape, use, layout = report.demand.shape, best.use, best.option.layout
    bits = weight_bits(shape, best.served.precision)
    dated = report.catalogue.model_dates.get(shape.id)
    source = _source(dated, report) if dated else "its config.json"
    yield (
        f"weights: {shape.linear_parameters:,} in layers x {bits:g} bits + "
        f"{shape.parameters - shape.linear_parameters:,} in tables and norms x 16 bits, over "
        f"{layout.gpus} GPU{'s' if layout.gpus > 1 else ''} = {use.weights_gib:.2f} GiB [{source}]"
    )
    yield (
        f"beside them: {use.activations_gib:.2f} GiB for a step of {layout.step_tokens:,} tokens, "
        f"{use.overhead_gib:.2f} for the engine, {use.adapters_gib:.2f} for {layout.lora_slots} "
        "LoRA slots [assumed for vLLM, not measured by us]"
    )
    kept = f"{shape.kv_heads} key-value heads of {shape.head_dim}"
    if shape.mla:
        kept = f"one latent vector of {shape.mla.kv_rank + shape.mla.rope_dim}"
    window = f", windows of {shape.sliding_window} tokens" if shape.sliding_window else ""
    yield (
        f"cache: {use.kv_bytes_per_token:,.0f} bytes a token and GPU ({shape.layers} layers, "
        f"{kept}{window}); {use.cache_gib:.2f} GiB are left for it"
    )
    yield (
        f"GPU: {use.total_gib:.1f} GiB, of which the engine may take {layout.utilization:.0%} "
        f"[{_source(best.option.instance.dated, report)}]"
    )


def _speed(best: Candidate, report: Report) -> Iterator[str]:
    served, efficiency, load = best.served, report.calibration.efficiency, report.demand.load
    gpu, kind = served.gpu, served.gpu.architecture
    yield (
        f"{gpu.name}: {gpu.bandwidth_gb_s:,.0f} GB/s, of which {efficiency.bandwidth[kind]:.0%} "
        f"are reached; {compute_tflops(gpu, served.precision):,.0f} dense TFLOP/s, of which "
        f"{efficiency.compute[kind]:.0%} [{_source(gpu.dated, report)}]"
    )
    prompt = prefill_ms(served, efficiency, load.prompt)
    yield (
        f"a prompt of {load.prompt:g} tokens on an idle engine: {prompt:,.1f} ms; what a request "
        f"takes beside it, HTTP among it: {arrival_ms(served, efficiency):,.1f} ms"
    )
    running = max(best.steady.running, 1)
    step = decode_step_ms(served, efficiency, running, load.context)
    yield (
        f"a step for {running:.1f} running answers: {step:,.1f} ms; prompts take "
        f"{best.steady.busy:.0%} of the time, so a token takes {best.steady.tpot_ms:,.1f} ms"
    )
    distance = report.calibration.distance(served, load)
    bars = report.calibration.bars[kind_of(served)]
    yield (
        f"bars: 90 % of sources that were left out lie within x{exp(bars['tokens_per_s']):.2f} "
        f"in throughput; widened for a distance of {distance:.2f} to the nearest measurement "
        f"[fitted {report.calibration.fitted_on}, `make plan-accuracy`]"
    )


def _money(best: Candidate, report: Report) -> Iterator[str]:
    bill = best.bill
    for item in bill.items:
        note = f"; {item.note}" if item.note else ""
        yield (
            f"{item.name}: {item.quantity:.4g} x {item.usd:.6g} USD/h = {bill.month(item):,.2f} "
            f"USD/month [{_source(item.dated, report)}; {item.dated.as_of}{note}]"
        )
    yield f"sum: {bill.usd_per_month:,.2f} USD/month"


def _source(figure: Dated, report: Report) -> str:
    source = report.catalogue.sources[figure.source]
    checked = f"checked {source.checked}" if source.checked else "not checked"
    return f"{source.title}; {source.url}; {checked}"
