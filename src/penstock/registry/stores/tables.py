"""The tables of the registry, the same in SQLite and PostgreSQL.

`version` of a row is the change counter's value when it was last changed: a gateway that has seen
all up to N asks for what is above N. Rows of keys are never removed, so that nothing is missed.

A column that is added to a table later must be its last, and have a `server_default`: it is added
to databases of the old shape when a gateway starts (`upgrade.py`).
"""

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    Float,
    Index,
    MetaData,
    Table,
    Text,
)

metadata = MetaData()

meta = Table(
    "penstock_meta",
    metadata,
    Column("name", Text, primary_key=True),
    Column("value", BigInteger, nullable=False),
)

tenants = Table(
    "penstock_tenants",
    metadata,
    Column("name", Text, primary_key=True),
    Column("policy", Text, nullable=False),
    Column("disabled", Boolean, nullable=False),
    Column("source", Text, nullable=False),
    Column("created_s", Float, nullable=False),
    Column("version", BigInteger, nullable=False, index=True),
)

keys = Table(
    "penstock_keys",
    metadata,
    Column("id", Text, primary_key=True),
    Column("digest", Text, nullable=False, unique=True),
    Column("hint", Text, nullable=False),
    Column("tenant", Text, index=True),
    Column("label", Text, nullable=False),
    Column("policy", Text, nullable=False),
    Column("expires_s", Float),
    Column("disabled", Boolean, nullable=False),
    Column("revoked_s", Float),
    Column("source", Text, nullable=False),
    Column("created_s", Float, nullable=False),
    Column("last_used_s", Float),
    Column("version", BigInteger, nullable=False, index=True),
)

ledger = Table(
    "penstock_ledger",
    metadata,
    Column("request_id", Text, primary_key=True),
    Column("admitted_s", Float, nullable=False),
    Column("tenant", Text, nullable=False),
    Column("key_id", Text, nullable=False),
    Column("model", Text, nullable=False),
    Column("adapter", Text, nullable=False),
    Column("engine", Text, nullable=False),
    Column("outcome", Text, nullable=False),
    Column("prompt_tokens", BigInteger, nullable=False),
    Column("cached_tokens", BigInteger, nullable=False),
    Column("completion_tokens", BigInteger, nullable=False),
    Column("estimated", Boolean, nullable=False),
    Column("cost_nano_usd", BigInteger, nullable=False),
    Column("ttft_ms", Float, nullable=False),
    Column("total_ms", Float, nullable=False),
    Column("replica", Text, nullable=False),
    Column("kind", Text, nullable=False, server_default="request"),
    Column("note", Text, nullable=False, server_default=""),
    Index("penstock_ledger_tenant", "tenant", "admitted_s"),
)

spending = Table(
    "penstock_spending",
    metadata,
    Column("scope", Text, primary_key=True),
    Column("day", Text, primary_key=True),
    Column("nano_usd", BigInteger, nullable=False),
    Column("tokens", BigInteger, nullable=False),
)

leases = Table(
    "penstock_leases",
    metadata,
    Column("scope", Text, primary_key=True),
    Column("unit", Text, primary_key=True),
    Column("window", Text, primary_key=True),
    Column("replica", Text, primary_key=True),
    Column("amount", BigInteger, nullable=False),
)

approvals = Table(
    "penstock_approvals",
    metadata,
    Column("nonce", Text, primary_key=True),
    Column("expires_s", BigInteger, nullable=False, index=True),
)

hours = Table(
    "penstock_hours",
    metadata,
    Column("engine", Text, primary_key=True),
    Column("leader", Text, nullable=False),
    Column("from_ms", BigInteger, nullable=False),
    Column("until_ms", BigInteger, nullable=False),
    Column("nano_per_hour", BigInteger, nullable=False),
    Column("paid", BigInteger, nullable=False),
    Column("surplus", BigInteger, nullable=False),
)

files = Table(
    "penstock_files",
    metadata,
    Column("id", Text, primary_key=True),
    Column("tenant", Text, nullable=False),
    Column("name", Text, nullable=False),
    Column("purpose", Text, nullable=False),
    Column("size_bytes", BigInteger, nullable=False),
    Column("created_s", Float, nullable=False),
    Column("expires_s", Float, nullable=False, index=True),
    Column("is_whole", Boolean, nullable=False),
    Index("penstock_files_tenant", "tenant", "created_s"),
)

batches = Table(
    "penstock_batches",
    metadata,
    Column("id", Text, primary_key=True),
    Column("tenant", Text, nullable=False),
    Column("key_id", Text, nullable=False),
    Column("digest", Text, nullable=False),
    Column("endpoint", Text, nullable=False),
    Column("input_file_id", Text, nullable=False),
    Column("status", Text, nullable=False, index=True),
    Column("created_s", Float, nullable=False),
    Column("expires_s", Float, nullable=False),
    Column("output_life_s", Float, nullable=False),
    Column("metadata", Text, nullable=False),
    Column("errors", Text, nullable=False),
    Column("output_file_id", Text),
    Column("error_file_id", Text),
    Column("in_progress_s", Float),
    Column("finalizing_s", Float),
    Column("completed_s", Float),
    Column("failed_s", Float),
    Column("expired_s", Float),
    Column("cancelling_s", Float),
    Column("cancelled_s", Float),
    Column("total", BigInteger, nullable=False),
    Column("completed", BigInteger, nullable=False),
    Column("failed", BigInteger, nullable=False),
    Column("owner", Text, nullable=False),
    Column("beat", BigInteger, nullable=False),
    Column("generation", BigInteger, nullable=False),
    Index("penstock_batches_tenant", "tenant", "created_s"),
)
