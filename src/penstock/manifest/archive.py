"""The sections of `penstock.yaml` on what is kept of requests and answers."""

from typing import Literal

from pydantic import Field

from penstock.manifest.section import Section


class Cache(Section):
    """Answers that are kept, and given again to the same question of the same tenant."""

    store: Literal["none", "memory"] = "none"
    """`none`: nothing is kept; `memory`: each gateway keeps its own."""
    models: tuple[str, ...] = Field(default=(), examples=[["org-a"]])
    """Models and adapters whose answers are kept unasked, where the question repeats exactly
    (temperature 0 or a seed); `*` is all. Other requests ask for it themselves."""
    tools: bool = False
    """Whether answers are kept in which tools had a part."""
    ttl_s: float = Field(default=3600, gt=0)
    """How long an answer is kept, seconds."""
    max_ttl_s: float = Field(default=86_400, gt=0)
    """How long a request may ask for its answer to be kept, seconds."""
    max_entries: int = Field(default=10_000, ge=1)
    """Answers in one gateway's memory; the least recently used leave first."""
    max_mib: float = Field(default=64, gt=0)
    """Room for answers in one gateway's memory, MiB."""
    max_answer_bytes: int = Field(default=262_144, ge=1024)
    """Longest answer that is kept, bytes of its JSON."""
