"""Whatever is done to an audit is found, and where it was done."""

import shutil
from pathlib import Path

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.registry.audit.audits import KEY, check, wrapper, write_chain

from penstock.ground.errors import UserError
from penstock.registry.audit.chain import HEAD, OPEN, START, ChainWriter, Head, find_tail
from penstock.registry.audit.links import hash_of
from penstock.registry.audit.reading import Chains, Folder, Keys, entries
from penstock.registry.audit.sealing import LocalKey, key_from
from penstock.registry.audit.verify import verify

SEGMENTS = (3, 2, 4)


@pytest.fixture(params=[False, True], ids=["plain", "sealed"])
def sealed(request: pytest.FixtureRequest) -> LocalKey | None:
    return wrapper() if request.param else None


def lines_of(path: Path) -> list[bytes]:
    return path.read_bytes().splitlines(keepends=True)


def segment(chain: Path, number: int) -> Path:
    (found,) = chain.glob(f"{number:08}.[jo]*")
    return found


def test_what_nobody_touched_is_whole(tmp_path: Path, sealed: LocalKey | None) -> None:
    write_chain(tmp_path, "one", SEGMENTS, sealed)
    write_chain(tmp_path, "two", (1,), sealed)
    report = check(tmp_path, sealed)
    assert report.findings == []
    assert (report.chains, report.entries, report.lines) == (2, 10, 10 + 3 + 2 + 1)
    assert report.sealed == report.opened == (10 if sealed else 0)
    found = list(entries(Chains(Folder(tmp_path)), Keys(sealed)))
    assert [msgspec.json.decode(each)["request_id"] for each in found][:2] == [
        "req-one-1",
        "req-one-2",
    ]


@pytest.mark.parametrize("number", [1, 2, 3])
def test_a_removed_line_is_found(tmp_path: Path, sealed: LocalKey | None, number: int) -> None:
    chain = write_chain(tmp_path, "one", SEGMENTS, sealed)
    path = segment(chain, number)
    lines = lines_of(path)
    path.write_bytes(b"".join(lines[:1] + lines[2:]))
    (finding, *_) = check(tmp_path).findings
    assert (finding.segment, finding.row) == (number, 2)
    assert "removed" in finding.what


def test_an_altered_line_is_found_where_it_is(tmp_path: Path) -> None:
    chain = write_chain(tmp_path, "one", SEGMENTS)
    path = segment(chain, 2)
    path.write_bytes(path.read_bytes().replace(b"req-one-4", b"req-one-9"))
    (finding,) = check(tmp_path).findings
    assert (finding.segment, finding.row) == (2, 2)
    assert "altered" in finding.what


def test_swapped_lines_are_found(tmp_path: Path, sealed: LocalKey | None) -> None:
    chain = write_chain(tmp_path, "one", SEGMENTS, sealed)
    path = segment(chain, 1)
    lines = lines_of(path)
    path.write_bytes(b"".join([lines[0], lines[2], lines[1], *lines[3:]]))
    assert {(f.segment, f.row) for f in check(tmp_path).findings} >= {(1, 2), (1, 3)}


@pytest.mark.parametrize("left", [0, 1, 3])
def test_lines_taken_from_the_end_are_missed(tmp_path: Path, left: int) -> None:
    chain = write_chain(tmp_path, "one", SEGMENTS)
    path = segment(chain, 3)
    path.write_bytes(b"".join(lines_of(path)[:left]))
    (finding,) = check(tmp_path).findings
    assert "missing from the end" in finding.what


def test_a_missing_segment_or_head_or_chain_is_found(tmp_path: Path) -> None:
    for name in ("one", "two", "three"):
        write_chain(tmp_path, name, SEGMENTS)
    chains = tmp_path / "chains"
    segment(chains / "two", 2).unlink()
    (chains / "three" / HEAD).unlink()
    shutil.rmtree(chains / "one")
    found = {(f.chain, f.segment): f.what for f in check(tmp_path).findings}
    assert "the chain is missing" in found["one", 0]
    assert "head" in found["three", 3]
    assert any(chain == "two" for chain, _ in found)


def test_a_chain_made_anew_fails_with_the_key(tmp_path: Path) -> None:
    """Hashes alone cannot tell: that is what the key is for."""
    chain = write_chain(tmp_path, "one", (2,), wrapper())
    path = segment(chain, 1)
    before, n, forged = START, 0, []
    for raw in lines_of(path):
        line = msgspec.json.decode(raw)
        if n == 2:
            continue_with = {**line, "box": line["box"][:-8] + "AAAAAAA="}
            line = continue_with
        line["prev"], n = before, n + 1
        data = msgspec.json.encode(line)
        before = hash_of(data)
        forged.append(data + b"\n")
    path.write_bytes(b"".join(forged))
    head = msgspec.json.decode((chain / HEAD).read_bytes(), type=Head)
    (chain / HEAD).write_bytes(msgspec.json.encode(msgspec.structs.replace(head, hash=before)))
    assert check(tmp_path).findings == []
    found = [finding.what for finding in check(tmp_path, wrapper()).findings]
    assert any("cannot be opened" in what for what in found)
    assert any("who has the key" in what for what in found)


def test_sealed_lines_say_nothing(tmp_path: Path) -> None:
    chain = write_chain(tmp_path, "one", (2,), wrapper())
    data = segment(chain, 1).read_bytes()
    assert b"alice" not in data
    assert b"req-" not in data
    assert KEY not in data


def test_another_key_is_told(tmp_path: Path) -> None:
    write_chain(tmp_path, "one", (2,), wrapper())
    (finding,) = check(tmp_path, LocalKey(bytes(32))).findings
    assert "key cannot be opened" in finding.what
    with pytest.raises(UserError, match="sealed"):
        list(entries(Chains(Folder(tmp_path)), Keys(None)))


@pytest.mark.parametrize("text", ["", "ab", "zz" * 32, "A" * 60])
def test_a_key_must_be_32_bytes(text: str) -> None:
    with pytest.raises(UserError, match="openssl"):
        key_from(text)


def test_keys_are_read_in_both_forms() -> None:
    assert key_from(KEY.hex() + "\n") == KEY
    assert key_from("AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=") == KEY


def test_a_segment_without_a_line_may_go_while_it_is_read(tmp_path: Path) -> None:
    """Its writer died before the first; whoever looks after the dead removes it."""
    chain = write_chain(tmp_path, "one", SEGMENTS)
    (chain / f"{len(SEGMENTS) + 1:08}{OPEN}").touch()
    chains = Chains(Folder(tmp_path))
    find_tail(chain)
    report = verify(chains, Keys(None))
    assert (report.findings, report.entries) == ([], sum(SEGMENTS))


def test_a_segment_with_lines_that_goes_while_it_is_read_is_missed(tmp_path: Path) -> None:
    chain = write_chain(tmp_path, "one", SEGMENTS)
    chains = Chains(Folder(tmp_path))
    segment(chain, 2).unlink()
    (finding, *_) = verify(chains, Keys(None)).findings
    assert (finding.segment, finding.what) == (2, "this segment is missing")


class Beginning(Folder):
    """A chain begins when it is looked at for the second time, and has ended a segment since."""

    def __init__(self, folder: Path, *, before: bool) -> None:
        """`before`: it has begun before that, and has no head until then."""
        super().__init__(folder)
        self._root, self._looks = folder, 0
        if before:
            chain = ChainWriter(folder / "chains" / "two", None, {}, None)
            chain.begin(1000.0)

    def names(self) -> list[str]:
        self._looks += 1
        found = list(super().names())
        if self._looks == 2:
            write_chain(self._root, "two", (2,))
            found = list(super().names())
            shutil.rmtree(self._root / "chains" / "two")
            write_chain(self._root, "two", (2, 3))
        return found


@pytest.mark.parametrize("before", [False, True])
def test_a_chain_that_begins_while_one_looks_is_left_out(tmp_path: Path, before: bool) -> None:
    write_chain(tmp_path, "one", SEGMENTS)
    report = verify(Chains(Beginning(tmp_path, before=before)), Keys(None))
    assert (report.findings, report.chains) == ([], 1)
    assert check(tmp_path).chains == 2


def test_a_torn_line_is_cut_off_and_the_chain_goes_on(tmp_path: Path) -> None:
    chain = write_chain(tmp_path, "one", (3, 2))
    path = segment(chain, 2)
    path.write_bytes(path.read_bytes() + b'{"n":99,"pr')
    assert check(tmp_path).findings == []
    tail = find_tail(chain)
    assert tail is not None
    assert tail.n == 8
    heir = ChainWriter(chain, tail, {}, None)
    heir.begin(3000.0)
    heir.write([((2, 1, 64), b'{"time_s":1,"kind":"request"}')])
    heir.end(3001.0, closed=True)
    report = check(tmp_path)
    assert report.findings == []
    assert report.entries == 6


ACTS = ("remove", "repeat", "swap", "flip", "cut", "insert", "borrow", "drop")


@settings(max_examples=150, deadline=None)
@given(data=st.data(), act=st.sampled_from(ACTS), is_sealed=st.booleans())
def test_no_tampering_goes_unseen(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject, act: str, is_sealed: bool
) -> None:
    root = tmp_path_factory.mktemp("audit")
    key = wrapper() if is_sealed else None
    chain = write_chain(root, "one", SEGMENTS, key)
    other = write_chain(root, "two", (4,), key)
    path = segment(chain, data.draw(st.integers(1, 3)))
    lines = lines_of(path)
    before = path.read_bytes()
    at = data.draw(st.integers(0, len(lines) - 1))
    if act == "remove":
        del lines[at]
    elif act == "repeat":
        lines.insert(data.draw(st.integers(0, len(lines))), lines[at])
    elif act == "swap":
        to = data.draw(st.integers(0, len(lines) - 1))
        lines[at], lines[to] = lines[to], lines[at]
    elif act == "flip":
        raw = bytearray(lines[at])
        spot = data.draw(st.integers(0, len(raw) - 1))
        raw[spot] ^= data.draw(st.integers(1, 255))
        lines[at] = bytes(raw)
    elif act == "cut":
        lines = lines[:at]
    elif act == "insert":
        lines.insert(at, b'{"n":5,"prev":"x","entry":{"time_s":1,"kind":"request"}}\n')
    elif act == "borrow":
        lines[at] = lines_of(segment(other, 1))[data.draw(st.integers(0, 4))]
    after = b"".join(lines)
    if act == "drop":
        path.unlink()
    elif after == before:
        return
    else:
        path.write_bytes(after)
    report = check(root, key)
    assert report.findings
    number = int(path.stem)
    assert any(
        f.chain == "one" and f.segment in (number - 1, number, number + 1) for f in report.findings
    )
    shutil.rmtree(root)
