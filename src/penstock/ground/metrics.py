"""Every metric Penstock publishes: name, help, labels. `docs/metrics.md` lists the same."""

from dataclasses import dataclass

LATENCY_BUCKETS_S = (
    0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0,
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Metric:
    """One metric family as Prometheus sees it."""

    name: str
    help: str
    labels: tuple[str, ...] = ()


REQUESTS = Metric(
    "penstock_requests_total",
    "Requests that passed the key check, by outcome",
    ("tenant", "model", "outcome"),
)
REFUSALS = Metric(
    "penstock_refusals_total", "Requests refused at the door, by status", ("status",)
)
TOKENS = Metric(
    "penstock_tokens_total",
    "Tokens by kind: prompt, cached (part of prompt), completion",
    ("tenant", "model", "kind"),
)
ESTIMATED_TOKENS = Metric(
    "penstock_estimated_completion_tokens_total",
    "Completion tokens counted from passed-on events because the engine gave no count",
    ("tenant", "model"),
)
REQUEST_SECONDS = Metric(
    "penstock_request_seconds", "From request to last byte, seconds", ("tenant", "model")
)
TTFT_SECONDS = Metric(
    "penstock_ttft_seconds", "From request to first byte, streamed answers", ("tenant", "model")
)
ENGINE_UP = Metric("penstock_engine_up", "1 when the engine answers its health check", ("engine",))
ENGINE_OUTSTANDING = Metric(
    "penstock_engine_outstanding", "Requests now out to the engine", ("engine",)
)
ENGINE_FOREIGN = Metric(
    "penstock_engine_foreign",
    "Requests the engine has from others, by its gauges",
    ("engine",),
)
ENGINE_CIRCUIT = Metric(
    "penstock_engine_circuit", "Circuit breaker: 0 closed, 1 half open, 2 open", ("engine",)
)
ENGINE_DRAINING = Metric(
    "penstock_engine_draining", "1 while the engine is given no new requests", ("engine",)
)
ENGINE_ASLEEP = Metric(
    "penstock_engine_asleep", "1 while the engine has no copy and wakes", ("engine",)
)
WAKES = Metric(
    "penstock_wakes_total", "Times that an engine without a copy was woken", ("engine",)
)
HELD = Metric("penstock_held_requests", "Requests held now until the engine wakes", ("engine",))
HELD_ENDS = Metric(
    "penstock_held_total",
    "Requests that were held, by how that ended: answered, gone, failed, late; refused: were not",
    ("engine", "outcome"),
)
ROUTED = Metric(
    "penstock_routed_total",
    "Requests for a name with routing, by the model asked next and what led there",
    ("asked", "model", "way"),
)
HEDGES = Metric(
    "penstock_hedges_total", "Second engines asked, by who answered first", ("model", "winner")
)
SHADOWS = Metric("penstock_shadows_total", "Copies of requests, by outcome", ("model", "outcome"))
CONNECTIONS = Metric("penstock_connections", "Client connections now open")
QUEUE_LENGTH = Metric(
    "penstock_queue_length", "Requests that wait because the engines are full", ("tenant",)
)
QUEUE_SECONDS = Metric(
    "penstock_queue_seconds", "How long requests waited for a place, seconds", ("tenant",)
)
COUNTERS_UP = Metric(
    "penstock_counters_up", "1 when the server that counts limits for all gateways answers"
)
TOOL_CALLS = Metric(
    "tool_calls_total", "Tool calls the gateway ran", ("tool", "tenant", "outcome")
)
TOOL_SECONDS = Metric("tool_latency_seconds", "Time one tool call took, seconds", ("tool",))
CACHE_REQUESTS = Metric(
    "penstock_cache_requests_total",
    "Requests that the response cache had a part in: hit, joined, miss, refresh, bypass",
    ("tenant", "model", "result"),
)
CACHE_WAITING = Metric(
    "penstock_cache_waiting", "Requests that wait now for another one's answer to their question"
)
CACHE_ENTRIES = Metric("penstock_cache_entries", "Answers now kept in this gateway's memory")
CACHE_BYTES = Metric("penstock_cache_bytes", "Room they take, bytes")
CACHE_EVICTED = Metric("penstock_cache_evicted_total", "Answers that left for want of room")
CACHE_FAILURES = Metric(
    "penstock_cache_failures_total", "Looks and writes that the shared cache's server failed"
)
KEY_SOURCE_UP = Metric(
    "penstock_key_source_up",
    "1 when the last refresh of keys from elsewhere (`aws`, `oidc`) went well",
    ("source",),
)
KEY_SOURCE_AGE = Metric(
    "penstock_key_source_age_seconds",
    "Time since the last refresh that went well, seconds",
    ("source",),
)
LEDGER_UP = Metric(
    "penstock_ledger_up", "1 while the ledger's database takes what there is to write"
)
LEDGER_WAITING = Metric(
    "penstock_ledger_waiting", "Requests that have ended and are not in the ledger yet"
)
LEDGER_ROOM = Metric(
    "penstock_ledger_room_ratio",
    "Room left for requests that are not in the ledger, 0 to 1; at 0 they are refused",
)
CLOCK_AHEAD = Metric(
    "penstock_clock_ahead_seconds",
    "How far this machine's clock is ahead of the database's, which counts; below 0 it is behind",
)
BUDGET_USED = Metric(
    "penstock_budget_used_ratio",
    "Share used of a budget that has reached its alarm, as this gateway last heard",
    ("scope", "unit", "window"),
)
AUDIT_ENTRIES = Metric("penstock_audit_entries_total", "Lines written to the audit")
AUDIT_SPOOL = Metric("penstock_audit_spool_bytes", "Records that wait to be written, bytes")
AUDIT_SEGMENTS = Metric("penstock_audit_segments_waiting", "Segments that wait to be shipped")
AUDIT_FAILURES = Metric(
    "penstock_audit_failures_total", "Attempts to write or ship that failed", ("step",)
)
BATCHES_RUNNING = Metric("penstock_batches_running", "Batches that this gateway runs now")
BATCH_LINES_RUNNING = Metric(
    "penstock_batch_lines_running", "Lines of batches that are being answered now"
)
BATCH_LINES_WAITING = Metric(
    "penstock_batch_lines_waiting", "Lines of batches that wait for engines with room"
)
BATCH_LINES = Metric(
    "penstock_batch_lines_total",
    "Lines of batches that were answered: completed, failed",
    ("tenant", "outcome"),
)

ALL = (
    REQUESTS,
    REFUSALS,
    TOKENS,
    ESTIMATED_TOKENS,
    REQUEST_SECONDS,
    TTFT_SECONDS,
    ENGINE_UP,
    ENGINE_OUTSTANDING,
    ENGINE_FOREIGN,
    ENGINE_CIRCUIT,
    ENGINE_DRAINING,
    ENGINE_ASLEEP,
    WAKES,
    HELD,
    HELD_ENDS,
    ROUTED,
    HEDGES,
    SHADOWS,
    CONNECTIONS,
    QUEUE_LENGTH,
    QUEUE_SECONDS,
    COUNTERS_UP,
    TOOL_CALLS,
    TOOL_SECONDS,
    CACHE_REQUESTS,
    CACHE_WAITING,
    CACHE_ENTRIES,
    CACHE_BYTES,
    CACHE_EVICTED,
    CACHE_FAILURES,
    KEY_SOURCE_UP,
    KEY_SOURCE_AGE,
    LEDGER_UP,
    LEDGER_WAITING,
    LEDGER_ROOM,
    CLOCK_AHEAD,
    BUDGET_USED,
    AUDIT_ENTRIES,
    AUDIT_SPOOL,
    AUDIT_SEGMENTS,
    AUDIT_FAILURES,
    BATCHES_RUNNING,
    BATCH_LINES_RUNNING,
    BATCH_LINES_WAITING,
    BATCH_LINES,
)
