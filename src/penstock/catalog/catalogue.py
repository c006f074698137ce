"""The catalogue, read from package data: plain frozen values, made anew by every `load`.

`load(extra)` lays the prices of `penstock catalog refresh` over those of the package.
"""

import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import date
from difflib import get_close_matches
from importlib.resources import files
from typing import Any, TypeVar

from penstock.catalog.records import (
    Dated,
    Gpu,
    Instance,
    Limit,
    Part,
    Price,
    Reservation,
    Source,
    SpotSaving,
)
from penstock.catalog.shape import Experts, LatentAttention, ModelShape
from penstock.ground.errors import UserError

HOME_REGION = "us-east-1"
"""The region of which the package carries every price; of others those of EC2 alone."""
SEEN_SHARE = 0.985
"""What CUDA finds of a GPU's memory where no log tells it: 0.985 to 0.993 of what EC2 says on all
that are known but the T4."""
Row = Mapping[str, Any]
_Figure = TypeVar("_Figure", Price, Reservation)


@dataclass(frozen=True, slots=True)
class Catalogue:
    """Everything Penstock knows of hardware, prices and models, by name."""

    gpus: Mapping[str, Gpu]
    instances: Mapping[str, Instance]
    prices: Mapping[tuple[str, str], Price]
    spot: Mapping[tuple[str, str], SpotSaving]
    reservations: Mapping[tuple[str, str], Reservation]
    parts: Mapping[str, Part]
    limits: Mapping[str, Limit]
    models: Mapping[str, ModelShape]
    model_names: Mapping[str, str]
    model_dates: Mapping[str, Dated]
    sources: Mapping[str, Source]

    def price(self, instance: str, region: str) -> tuple[Price | None, bool]:
        """The price of `instance` in `region`, and whether it is that region's own.

        Where the region's price is unknown, the one of `HOME_REGION` comes back, not as its own.
        """
        own = self.prices.get((instance, region))
        return (own, True) if own else (self.prices.get((instance, HOME_REGION)), False)

    def is_checked(self, figure: Dated) -> bool:
        """Whether somebody compared the figure with its source."""
        return self.sources[figure.source].checked is not None

    def find_model(self, name: str) -> ModelShape | None:
        """The shape of a Hugging Face id, in any case of letters; None if unknown."""
        known = self.model_names.get(name.lower())
        return self.models[known] if known else None

    def require_region(self, region: str) -> None:
        """Make sure that something is known of an AWS region.

        Raises:
            UserError: nothing is; the nearest names are told.
        """
        known = {region for instance in self.instances.values() for region in instance.zones}
        known.update(region for _, region in self.prices)
        if region not in known:
            close = get_close_matches(region, sorted(known), n=3, cutoff=0.4)
            raise UserError(
                f"nothing is known of an AWS region {region!r}",
                why="no machine of the catalogue is offered there",
                fix=f"Did you mean {' or '.join(close)}?" if close else "See `catalog list`.",
            )

    def nearest_models(self, name: str) -> list[str]:
        """Up to three known ids that are spelt most like `name`."""
        close = get_close_matches(name.lower(), list(self.model_names), n=3, cutoff=0.5)
        return list(dict.fromkeys(self.model_names[match] for match in close))


def load(refreshed: Iterable[Row] = (), refreshed_spot: Iterable[Row] = ()) -> Catalogue:
    """The catalogue of the package, with refreshed rows laid over its prices and spot savings."""
    gpus = {r["name"]: _gpu(r) for r in _rows("gpus")}
    rows = _rows("models")
    models = {r["id"]: _model(r) for r in rows}
    names = {i.lower(): i for i in models}
    for row in rows:
        names |= {alias.lower(): row["id"] for alias in row["aliases"]}
    elsewhere = json.loads(read_data("regions"))
    prices = _regional(elsewhere, "usd_per_hour", Price)
    prices |= {(r["instance"], r["region"]): _price(r) for r in (*_rows("prices"), *refreshed)}
    spot = {(r["instance"], r["region"]): _spot(r) for r in (*_rows("spot"), *refreshed_spot)}
    return Catalogue(
        gpus=gpus,
        instances={r["name"]: _instance(r, gpus) for r in _rows("instances")},
        prices=prices,
        spot=spot,
        reservations=_regional(elsewhere, "reserved_saving", Reservation),
        parts={r["name"]: _part(r) for r in _rows("parts")},
        limits={r["name"]: _limit(r) for r in _rows("limits")},
        models=models,
        model_names=names,
        model_dates={r["id"]: dated(r) for r in rows},
        sources={key: _source(r) for key, r in json.loads(read_data("sources")).items()},
    )


def read_data(name: str) -> str:
    """The text of one file of the catalogue."""
    return files("penstock.catalog").joinpath("data", f"{name}.json").read_text("utf-8")


def need_gpu(catalogue: Catalogue, name: str) -> Gpu:
    """The GPU called `name`.

    Raises:
        UserError: the catalogue has none of that name.
    """
    if name in catalogue.gpus:
        return catalogue.gpus[name]
    known = ", ".join(catalogue.gpus)
    raise UserError(f"the catalogue knows no GPU '{name}'", fix=f"It knows: {known}.")


def _rows(name: str) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = json.loads(read_data(name))
    return rows


def dated(row: Row) -> Dated:
    """Source and date of a row."""
    return Dated(row["source"], date.fromisoformat(row["as_of"]))


def _source(r: Row) -> Source:
    checked = date.fromisoformat(r["checked"]) if r["checked"] else None
    return Source(r["title"], r["url"], checked)


def _gpu(r: Row) -> Gpu:
    names = ("name", "architecture", "memory_gb", "bandwidth_gb_s", "tflops", "link")
    known = {n: r[n] for n in (*names, "link_gb_s", "on_aws")}
    return Gpu(**known, dated=dated(r), seen_gib=r.get("seen_gib", 0.0))


def _instance(r: Row, gpus: Mapping[str, Gpu]) -> Instance:
    zones = {region: tuple(letters) for region, letters in r["zones"].items()}
    names = ("name", "gpus", "gpu_memory_mib", "vcpus", "ram_gib", "on_sagemaker")
    known = {n: r[n] for n in names}
    seen = gpus[r["gpu"]].seen_gib * 1024 if r["gpu"] else 0.0
    return Instance(
        **known,
        gpu=r["gpu"] or "",
        gpu_seen_mib=seen or r["gpu_memory_mib"] * SEEN_SHARE,
        zones=zones,
        unsupported=r.get("unsupported", ""),
        dated=dated(r),
    )


def _regional(
    data: Mapping[str, Any], figure: str, kind: Callable[[str, str, float, Dated], _Figure]
) -> dict[tuple[str, str], _Figure]:
    """The figures of all regions of one publication, by instance and region."""
    when = dated(data)
    return {
        (instance, region): kind(instance, region, value, when)
        for region, values in data[figure].items()
        for instance, value in values.items()
    }


def _price(r: Row) -> Price:
    return Price(r["instance"], r["region"], r["usd_per_hour"], dated(r))


def _spot(r: Row) -> SpotSaving:
    return SpotSaving(
        r["instance"], r["region"], r["saving"], r.get("interruption", "?"), dated(r)
    )


def _part(r: Row) -> Part:
    return Part(r["name"], r["unit"], r["usd"], r["region"], dated(r))


def _limit(r: Row) -> Limit:
    return Limit(r["name"], r["value"], r["unit"], r["note"], dated(r))


def _model(r: Row) -> ModelShape:
    plain = ("id", "layers", "hidden", "intermediate", "heads", "kv_heads", "head_dim", "vocab")
    options = ("sliding_window", "global_every", "native_bits", "qkv_bias", "qk_norm")
    given = {n: r[n] for n in (*plain, "tied", "context", "license", "gated")}
    given |= {n: r[n] for n in (*options, "extra_parameters") if n in r}
    experts = None
    if "experts" in r:
        experts = Experts(
            r["experts"],
            r["experts_per_token"],
            r["expert_intermediate"],
            r.get("shared_expert_intermediate", 0),
            r.get("dense_layers", 0),
        )
    mla = LatentAttention(**r["mla"]) if "mla" in r else None
    return ModelShape(**given, experts=experts, mla=mla)
