"""Who writes entries and lines: the gateway's own process, or one beside it."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from penstock.gateway.settings import Settings
    from penstock.registry.audit.minutes import Undertaker
    from penstock.registry.scribe import Scribe
    from penstock.registry.slots import SlotFile
    from penstock.registry.stores.books import BookStore
    from penstock.registry.stores.database import Database


def open_scribe(
    settings: Settings, slots: SlotFile, books: BookStore
) -> tuple[Scribe, Undertaker | None]:
    """Return the scribe of a gateway, and what completes the audit of dead ones.

    Raises as `auditing.key_wrapper` does.
    """
    import sys

    import msgspec

    from penstock.registry.scribe import OwnScribe
    from penstock.wiring.auditing import is_in_slots, open_minutes

    slots.numbered = is_in_slots(settings)
    minutes, undertaker = open_minutes(settings, slots.owner.replica)
    if settings.registry is None or not settings.registry.own_process:
        return OwnScribe(books, slots, slots.owner.replica, minutes), undertaker
    from penstock.registry.dictation import RemoteScribe

    task = msgspec.json.encode(msgspec.structs.replace(settings, tenants=(), keys=()))
    argv = [sys.executable, "-m", "penstock.cli.scribe"]
    return RemoteScribe(argv, task, slots.descriptor), undertaker


def open_books(settings: Settings, database: Database) -> BookStore:
    """Return the ledger in a database."""
    from penstock.registry.stores.books import BookStore
    from penstock.wiring.prices import hour_prices

    prices = hour_prices(settings.engines, settings.models)
    priced = frozenset(price.engine for price in prices)
    payees = {
        model.name: engine
        for model in settings.models
        for engine in model.engines[::-1]
        if engine in priced
    }
    return BookStore(database, priced, payees)


def open_database(settings: Settings) -> Database:
    """Return the registry's database; it is not touched yet.

    Raises:
        UserError: it is not told where that is.
    """
    import os

    from penstock.ground.errors import UserError
    from penstock.registry.stores.database import Database

    told = settings.registry
    assert told is not None  # noqa: S101 - asked for only where there is one
    url = os.environ.get(told.database_env or "") or told.database
    if not url:
        raise UserError(
            "the registry has no database", fix=f"Set the variable {told.database_env}"
        )
    return Database(url)


def run_scribe(channel: int, descriptor: int) -> None:
    """Work for the gateway at the other end of the socket `channel`, until it is gone."""
    import asyncio

    asyncio.run(_work(channel, descriptor))


async def _work(channel: int, descriptor: int) -> None:
    import asyncio
    import socket

    import msgspec

    from penstock.gateway.settings import Settings
    from penstock.ground.garbage import settle_garbage
    from penstock.registry.dictation import Desk, receive
    from penstock.registry.scribe import OwnScribe
    from penstock.registry.slots import SlotView
    from penstock.wiring.auditing import open_minutes

    reader, writer = await asyncio.open_connection(sock=socket.socket(fileno=channel))
    try:
        task = await receive(reader)
    except (OSError, EOFError):
        writer.close()  # the gateway has gone already
        return
    settings = msgspec.json.decode(task, type=Settings)
    view, database = SlotView(descriptor), open_database(settings)
    replica = view.owner.replica
    minutes, _ = open_minutes(settings, replica)
    scribe = OwnScribe(open_books(settings, database), view, replica, minutes)
    settle_garbage()
    try:
        await Desk(scribe, (reader, writer)).work()
    finally:
        writer.close()
        await database.close()
