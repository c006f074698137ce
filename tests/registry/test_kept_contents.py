"""The folder of files: what is left when the disk is full."""

import subprocess
import sys
from pathlib import Path

import pytest

from penstock.ground.errors import StoreUnavailable
from penstock.registry.batches.contents import MARK, Folder, Missing

RECORD = b"a record of thirty-two octets!!\n"

_APPEND = """
import resource, signal, sys
from pathlib import Path
from penstock.ground.errors import StoreUnavailable
from penstock.ground.errors import StoreUnavailable
from penstock.registry.batches.contents import MARK, Folder, Missing

# A file that may not grow further stands for a disk that is full.
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[2]), resource.RLIM_INFINITY))
try:
    Folder(Path(sys.argv[1])).append("parts/b", "000001", 2, sys.stdin.buffer.read())
except StoreUnavailable as error:
    print(error)
"""


def kept_in(folder: Folder) -> bytes:
    return b"".join(b"".join(folder.read(part)) for part in folder.parts("parts/b"))


@pytest.mark.parametrize("room", [0, 1, 31, 33, 95])
def test_a_full_disk_leaves_no_half_record(tmp_path: Path, room: int) -> None:
    """What comes behind it once there is room again must be whole."""
    folder = Folder(tmp_path)
    folder.append("parts/b", "000001", 1, RECORD)
    ended = subprocess.run(
        [sys.executable, "-c", _APPEND, str(tmp_path), str(len(RECORD) + room)],
        input=RECORD * 3,
        capture_output=True,
        check=True,
    )
    assert b"the folder of files cannot be used" in ended.stdout
    assert kept_in(folder) == RECORD
    folder.append("parts/b", "000001", 2, RECORD * 3)
    assert kept_in(folder) == RECORD * 4


def test_a_folder_whose_disk_is_away_is_no_new_place(tmp_path: Path) -> None:
    """What is left is an empty folder: it gets no mark, and nothing in it is known to be gone."""
    place, away = tmp_path / "files", tmp_path / "away"
    folder = Folder(place)
    mark = folder.mark()
    assert Folder(place).mark() == mark
    with pytest.raises(Missing):
        folder.borrow("files/x", tmp_path / "x")
    place.rename(away)
    place.mkdir()
    with pytest.raises(StoreUnavailable):
        folder.mark()
    with pytest.raises(StoreUnavailable) as told:
        folder.borrow("files/x", tmp_path / "x")
    assert not isinstance(told.value, Missing)
    assert not (place / MARK).exists()
    place.rmdir()
    away.rename(place)
    assert folder.mark() == mark


def test_parts_that_cannot_be_listed_are_not_none(tmp_path: Path) -> None:
    folder = Folder(tmp_path)
    assert folder.parts("parts/b") == []
    assert folder.folders("parts") == []
    (tmp_path / "parts").touch()
    for ask, name in ((folder.parts, "parts/b"), (folder.folders, "parts")):
        with pytest.raises(StoreUnavailable):
            ask(name)
