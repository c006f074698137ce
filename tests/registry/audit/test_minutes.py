"""Lines of requests made of slots: each once and in order, whatever dies when."""

import asyncio
import threading
from pathlib import Path
from typing import Any

import msgspec
import pytest
from tests.fakes.bank import make_branch
from tests.registry.audit.audits import wrapper

from penstock.registry.audit.archivist import CHAINS
from penstock.registry.audit.book import Book, Rules
from penstock.registry.audit.chain import HEAD, read_head
from penstock.registry.audit.minutes import SUFFIX, Minutes, Undertaker
from penstock.registry.audit.reading import Chains, Folder, Keys, entries
from penstock.registry.audit.verify import verify
from penstock.registry.clerk import Clerk
from penstock.registry.entries import OUTCOMES, End
from penstock.registry.records import Budgets, Price
from penstock.registry.scribe import OwnScribe, Portion
from penstock.registry.slots import Kept, Owner, SlotFile, read_kept, spill
from penstock.registry.stores.accounts import AccountStore
from penstock.registry.stores.books import BookStore
from penstock.registry.stores.database import Database

COMPLETE = End(OUTCOMES.index("complete"), False, 7, 0, 3, 5, 12.0)
CHAT = 2


def lines(root: Path) -> list[dict[str, Any]]:
    """Every line; the audit must be whole."""
    chains = Chains(Folder(root))
    assert verify(chains, Keys(wrapper())).findings == []
    return [msgspec.json.decode(each) for each in entries(chains, Keys(wrapper()))]


def told(root: Path) -> list[str]:
    return [f"{line['request_id']} {line['outcome']}" for line in lines(root)]


class Gateway:
    """Slots and the minutes that are made of them."""

    def __init__(self, root: Path, name: str = "gw") -> None:
        self.root = root
        self.slots = SlotFile(root / f"{name}.slots", Owner(name, ("engine",)))
        self.slots.numbered = True
        book = Book(root / CHAINS / (name + SUFFIX), Rules(), wrapper())
        self.minutes = Minutes(book)
        self.minutes.start()

    def ask(self, name: str, way: int = CHAT) -> int:
        text = f"{name}\0org-a\0key-1\0model\0adapter".encode()
        return self.slots.admit(text, 10, Price(), 5.0, 0, way)

    def end(self, *places: int) -> None:
        for at in places:
            self.slots.settle(at, COMPLETE)

    def write(self) -> None:
        self.minutes.write(self.slots.kept(self.slots.settled))

    def bury(self) -> None:
        owner, left = read_kept(self.slots.path)
        Undertaker(self.root / CHAINS, wrapper()).bury(owner.replica, left)


@pytest.fixture
def gateway(tmp_path: Path) -> Gateway:
    return Gateway(tmp_path)


def test_a_line_tells_all_that_the_slot_does(gateway: Gateway) -> None:
    at = gateway.ask("req-1")
    gateway.slots.asked(at, 0)
    gateway.slots.note(at, b"arm=canary")
    gateway.end(at)
    gateway.write()
    (line,) = lines(gateway.root)
    assert line == {
        "time_s": 5.0,
        "kind": "request",
        "request_id": "req-1",
        "tenant": "org-a",
        "key_id": "key-1",
        "model": "model",
        "adapter": "adapter",
        "engine": "engine",
        "path": "/v1/chat/completions",
        "outcome": "complete",
        "prompt_tokens": 7,
        "completion_tokens": 3,
        "cost_nano_usd": 5,
        "seconds": 0.012,
        "note": "arm=canary",
    }


def test_lines_stand_in_the_order_of_their_ends_and_once(gateway: Gateway) -> None:
    one, two, three = gateway.ask("req-1"), gateway.ask("req-2"), gateway.ask("req-3")
    gateway.end(three, one)
    gateway.write()
    gateway.write()
    gateway.end(two)
    gateway.write()
    assert told(gateway.root) == ["req-3 complete", "req-1 complete", "req-2 complete"]


def test_what_the_audit_does_not_want_is_no_line(gateway: Gateway) -> None:
    gateway.end(gateway.ask("req-1/1", way=0), gateway.ask("req-2"))
    gateway.write()
    assert told(gateway.root) == ["req-2 complete"]


@pytest.mark.parametrize("written", [0, 1, 2])
def test_what_a_dead_gateway_had_not_written_is_added_once(gateway: Gateway, written: int) -> None:
    gateway.ask("req-open")
    counted = gateway.ask("req-counted")
    gateway.slots.count(counted, COMPLETE)
    for number in range(3):
        gateway.end(gateway.ask(f"req-{number}"))
        if number < written:
            gateway.write()
    gateway.bury()
    gateway.bury()
    ended = [f"req-{number} complete" for number in range(3)]
    assert told(gateway.root) == [*ended, "req-open gateway_died", "req-counted complete"]


def test_slots_in_a_spill_file_keep_their_numbers(gateway: Gateway) -> None:
    one, two = gateway.ask("req-1"), gateway.ask("req-2")
    gateway.end(one)
    gateway.write()
    gateway.end(two)
    path = gateway.root / "gw.1.spill"
    spill(path, gateway.slots.owner, gateway.slots.raw([one, two]))
    gateway.minutes.write(read_kept(path)[1])
    assert told(gateway.root) == ["req-1 complete", "req-2 complete"]


def test_a_ledger_that_is_away_leads_to_no_second_line(tmp_path: Path) -> None:
    gateway = Gateway(tmp_path)

    async def run() -> None:
        database = Database(str(tmp_path / "r.db"))
        books = BookStore(database)  # there are no tables yet: writing fails
        scribe = OwnScribe(books, gateway.slots, "gw", gateway.minutes)
        gateway.end(gateway.ask("req-1"))
        portion = Portion(gateway.slots.settled)
        with pytest.raises(Exception, match="database cannot be used"):
            await scribe.write(portion, {}, again=False)
        await database.create()
        await scribe.write(portion, {}, again=True)
        await scribe.close(complete=True)
        await database.close()

    asyncio.run(run())
    assert told(tmp_path) == ["req-1 complete"]


def test_a_head_that_could_not_be_written_is_written_the_next_time(gateway: Gateway) -> None:
    folder = gateway.root / CHAINS / f"gw{SUFFIX}"
    draft = folder / f".{HEAD}"
    gateway.end(gateway.ask("req-1"))
    draft.mkdir()  # a disk that is full for it alone
    with pytest.raises(OSError, match="Is a directory"):
        gateway.write()
    draft.rmdir()
    behind = read_head(folder)
    gateway.write()
    head = read_head(folder)
    assert behind is not None
    assert head is not None
    assert head.n == behind.n + 1
    assert told(gateway.root) == ["req-1 complete"], "its line was there already"


class Slow:
    """Writes when it may, as on a disk that is slow. Satisfies `scribe.Lines`."""

    def __init__(self, minutes: Minutes) -> None:
        self._minutes, self.entries = minutes, 0
        self.begun, self.may = threading.Event(), threading.Event()

    def start(self) -> None:
        self._minutes.start()

    def write(self, ended: list[Kept]) -> None:
        self.begun.set()
        assert self.may.wait(60)
        self._minutes.write(ended)

    def tend(self) -> None:
        self._minutes.tend()

    def end(self, *, closed: bool) -> None:
        self._minutes.end(closed=closed)


async def test_lines_that_are_being_written_when_the_gateway_ends_are_waited_for(
    tmp_path: Path,
) -> None:
    """They are asked for again then: two threads would write them both, into one chain."""
    gateway = Gateway(tmp_path)
    slow = Slow(gateway.minutes)
    database = Database(str(tmp_path / "r.db"))
    await database.create()
    scribe = OwnScribe(BookStore(database), gateway.slots, "gw", slow)
    gateway.end(gateway.ask("req-1"))
    portion = Portion(gateway.slots.settled)
    writing = asyncio.create_task(scribe.write(portion, {}, again=False))
    assert await asyncio.to_thread(slow.begun.wait, 60)
    writing.cancel()
    for _ in range(5):
        await asyncio.sleep(0)
    assert not writing.done()
    slow.may.set()
    await asyncio.wait({writing})
    assert writing.cancelled()
    await scribe.write(portion, {}, again=True)
    await scribe.close(complete=True)
    await database.close()
    assert told(tmp_path) == ["req-1 complete"]


def test_slots_wait_for_a_gateway_that_has_an_audit(tmp_path: Path) -> None:
    dead = Gateway(tmp_path, "dead")
    dead.end(dead.ask("req-1"))
    dead.slots.let_go()

    async def run() -> None:
        database = Database(str(tmp_path / "r.db"))
        await database.create()
        without = make_branch(database, tmp_path, "without", Budgets())
        await without.clerk.recover()
        assert (tmp_path / "dead.unaudited").exists()
        assert not (tmp_path / "dead.slots").exists()
        audited = Clerk(
            AccountStore(database),
            BookStore(database),
            SlotFile(tmp_path / "heir.slots", Owner("heir", ())),
            on_changes=lambda changes: None,
            purses=list,
            clock=lambda: 0.0,
            undertaker=Undertaker(tmp_path / CHAINS, wrapper()),
        )
        await audited.recover()
        assert not (tmp_path / "dead.unaudited").exists()
        for branch in (without.clerk, audited):
            await branch.close()
        await database.close()

    asyncio.run(run())
    assert told(tmp_path) == ["req-1 complete"]
