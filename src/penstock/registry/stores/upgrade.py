"""Brings a database of an older shape up to `tables.py`, in place: missing columns are added."""

from sqlalchemy import Connection, MetaData, inspect
from sqlalchemy.schema import CreateColumn


def add_missing_columns(connection: Connection, metadata: MetaData) -> list[str]:
    """Add to existing tables the columns they lack; returns them as `table.column`.

    Whoever calls this must be alone: two at a time would both find a column missing.
    """
    inspector = inspect(connection)
    added = []
    for table in metadata.sorted_tables:
        held = {column["name"] for column in inspector.get_columns(table.name)}
        for column in table.columns:
            if column.name not in held:
                shape = CreateColumn(column).compile(dialect=connection.dialect)
                connection.exec_driver_sql(f"ALTER TABLE {table.name} ADD COLUMN {shape}")
                added.append(f"{table.name}.{column.name}")
    return added
