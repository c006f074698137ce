"""Published measurements: what was run, and what was seen.

`calibration.json` is what the factors are fitted to, `held_out.json` what they are judged on; no
run is in both. A row that was left out says why (`excluded`). Lengths are means in tokens.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib.resources import files
from typing import Any

from penstock.catalog.catalogue import Catalogue
from penstock.sizing.memory import MAX_SEQUENCES, Layout, memory_use
from penstock.sizing.precision import PRECISIONS
from penstock.sizing.serving import Burst, Load, burst, closed_loop, lockstep, open_loop
from penstock.sizing.speed import CURRENT_ENGINE, Efficiency, Served, usual_sequences

METRICS = ("tokens_per_s", "tpot_ms", "ttft_ms")
"""What is compared."""


@dataclass(frozen=True, slots=True)
class Observation:
    """One measured load. `seen` maps some of `METRICS` to what was measured.

    `run` names the machine and session; rows of one run share its luck, so they are left out
    together. `kind` is `closed` (clients), `lockstep` (clients whose answers are equally long),
    `burst` (requests at once) or `open` (a rate).
    """

    run: str
    kind: str
    served: Served
    load: Load
    seen: Mapping[str, float]
    source: str
    as_of: str
    clients: float = 0
    requests: int = 0
    longest: float = 0
    requests_per_s: float = 0
    batch: float = MAX_SEQUENCES
    excluded: str = ""
    note: str = field(default="", compare=False)

    def predict(self, efficiency: Efficiency) -> dict[str, float]:
        """What the model says for each metric that was measured."""
        served, load = self.served, self.load
        if self.kind == "open":
            steady = open_loop(served, efficiency, load, self.requests_per_s, self.batch)
            told = {"ttft_ms": steady.ttft_ms_p50, "tpot_ms": steady.tpot_ms}
        elif self.kind == "burst":
            all_at_once = Burst(self.requests, max(self.batch, 1), self.longest)
            told = {"tokens_per_s": burst(served, efficiency, load, all_at_once).tokens_per_s}
        else:
            loop = lockstep if self.kind == "lockstep" else closed_loop
            seen = loop(served, efficiency, load, self.clients)
            told = {
                "ttft_ms": seen.ttft_ms,
                "tpot_ms": seen.tpot_ms,
                "tokens_per_s": seen.tokens_per_s,
            }
        return {metric: told[metric] for metric in self.seen}


def read_observations(name: str, catalogue: Catalogue) -> tuple[Observation, ...]:
    """The rows of `calibration` or `held_out`, the excluded ones among them."""
    text = files("penstock.sizing").joinpath("data", f"{name}.json").read_text("utf-8")
    return tuple(observation(row, catalogue) for row in json.loads(text))


def observation(row: Mapping[str, Any], catalogue: Catalogue) -> Observation:
    """One row as an observation; the batch is bounded by the memory of its GPU.

    Raises:
        KeyError: the row names a model, a GPU or a precision that the catalogue does not know.
    """
    shape = catalogue.models[catalogue.model_names[row["model"].lower()]]
    gpu, tp, pp = (
        catalogue.gpus[row["gpu"]],
        row["tensor_parallel"],
        row.get("pipeline_parallel", 1),
    )
    precision = PRECISIONS[row["precision"]]
    use = memory_use(shape, precision, gpu.memory_gb * 1000, Layout(tp, pp))
    load = Load(row["prompt"], row["output"])
    given = ("clients", "requests", "longest", "requests_per_s", "excluded", "note")
    most = usual_sequences(gpu) if row["engine"] == CURRENT_ENGINE else MAX_SEQUENCES
    return Observation(
        run=row["run"],
        kind=row["kind"],
        served=Served(
            shape, precision, gpu, tp, pp, row["engine"], direct=row.get("direct", False)
        ),
        load=load,
        seen={metric: row[metric] for metric in METRICS if metric in row},
        source=row["source"],
        as_of=row["as_of"],
        batch=min(most, use.sequences(load.context)),
        **{name: row[name] for name in given if name in row},
    )
