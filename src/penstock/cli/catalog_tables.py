"""The tables of `penstock catalog list`: for each kind its head and its rows.

The last column of a figure is its date, `old` after 90 days, `*` where nobody compared it with
its source.
"""

from collections.abc import Callable, Iterator, Sequence
from datetime import date

from penstock.catalog.catalogue import HOME_REGION, Catalogue
from penstock.catalog.records import Dated, Instance

Row = Sequence[str]
Marks = Callable[[Dated], str]


def table(catalogue: Catalogue, kind: str, today: date) -> Iterator[Row]:
    """Head and rows of one kind of `TABLES`."""

    def marks(dated: Dated) -> str:
        old = " old" if dated.is_stale(today) else ""
        return f"{dated.as_of}{old}{'' if catalogue.is_checked(dated) else ' *'}"

    head, rows = TABLES[kind]
    yield head
    yield from rows(catalogue, marks)


def _instances(catalogue: Catalogue, marks: Marks) -> Iterator[Row]:
    for each in catalogue.instances.values():
        gpus = f"{each.gpus} x {each.gpu}" if each.gpu else "none"
        memory = f"{each.gpu_memory_mib / 1024:.0f} GiB" if each.gpu else "-"
        prices = (_usd(catalogue, each.name), _usd(catalogue, f"ml.{each.name}"))
        yield (each.name, gpus, memory, *_machine(each), *prices, marks(each.dated))


def _machine(each: Instance) -> Row:
    return str(each.vcpus), f"{each.ram_gib:g} GiB"


def _usd(catalogue: Catalogue, name: str) -> str:
    price, _ = catalogue.price(name, HOME_REGION)
    return f"{price.usd_per_hour:g}" if price else "-"


def _gpus(catalogue: Catalogue, marks: Marks) -> Iterator[Row]:
    for gpu in catalogue.gpus.values():
        memory, bandwidth = f"{gpu.memory_gb:g} GB", f"{gpu.bandwidth_gb_s:g} GB/s"
        dense = (f"{gpu.tflops[kind]:g}" if gpu.tflops[kind] else "-" for kind in _DTYPES)
        yield (gpu.name, memory, bandwidth, *dense, marks(gpu.dated))


_DTYPES = ("fp16", "bf16", "fp8", "int8")


def _models(catalogue: Catalogue, marks: Marks) -> Iterator[Row]:
    for name, shape in catalogue.models.items():
        size, gated = f"{shape.parameters / 1e9:.2f} B", " (gated)" if shape.gated else ""
        dated = marks(catalogue.model_dates[name])
        yield (name, size, str(shape.context), shape.license + gated, dated)


def _prices(catalogue: Catalogue, marks: Marks) -> Iterator[Row]:
    for price in catalogue.prices.values():
        yield (price.instance, price.region, f"{price.usd_per_hour:g}", marks(price.dated))


def _spot(catalogue: Catalogue, marks: Marks) -> Iterator[Row]:
    for each in catalogue.spot.values():
        off = f"{each.saving:.0%}"
        yield (each.instance, each.region, off, each.interruption, marks(each.dated))


def _parts(catalogue: Catalogue, marks: Marks) -> Iterator[Row]:
    for part in catalogue.parts.values():
        yield (part.name, f"{part.usd:g}", part.unit, marks(part.dated))


def _limits(catalogue: Catalogue, marks: Marks) -> Iterator[Row]:
    for limit in catalogue.limits.values():
        yield (limit.name, f"{limit.value:g}", limit.unit, marks(limit.dated))


def _sources(catalogue: Catalogue, _: Marks) -> Iterator[Row]:
    for key, source in catalogue.sources.items():
        yield (key, str(source.checked or "never *"), source.title, source.url)


_MACHINE = ("instance", "GPUs", "GPU memory", "vCPUs", "RAM", "USD/h", "USD/h as ml.", "as of")
TABLES: dict[str, tuple[Row, Callable[[Catalogue, Marks], Iterator[Row]]]] = {
    "instances": (_MACHINE, _instances),
    "gpus": (("GPU", "memory", "bandwidth", *(f"{d} TFLOP/s" for d in _DTYPES), "as of"), _gpus),
    "prices": (("instance", "region", "USD/h", "as of"), _prices),
    "spot": (("instance", "region", "saves", "taken away", "as of"), _spot),
    "parts": (("part", "USD", "unit", "as of"), _parts),
    "limits": (("limit", "value", "unit", "as of"), _limits),
    "models": (("model", "parameters", "context", "licence", "as of"), _models),
    "sources": (("source", "checked", "title", "address"), _sources),
}
"""By the name that `penstock catalog list` takes."""
