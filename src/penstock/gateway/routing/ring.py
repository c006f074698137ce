"""Consistent hashing with bounded load: who begins alike goes to one engine, unless that is full.

Each engine has many points on a ring; a key belongs to the first engine at or behind it. When an
engine leaves, only its keys move. The bound keeps one popular prefix from flooding one engine: an
engine that already has `balance` times the mean is passed over for the next on the ring.
The idea is that of Mirrokni, Thorup and Zadimoghaddam, "Consistent Hashing with Bounded Loads".
"""

import math
from bisect import bisect_left
from collections.abc import Iterable, Iterator, Sequence
from hashlib import blake2b

_POINTS = 128


def hash_of(*parts: bytes) -> int:
    """Return 64 bits that are the same on every machine; the parts cannot run into each other."""
    digest = blake2b(digest_size=8)
    for part in parts:
        digest.update(b"%d:" % len(part))
        digest.update(part)
    return int.from_bytes(digest.digest(), "big")


class Ring:
    """Engines by name on a ring; they are told by their place in `names`."""

    __slots__ = ("_members", "_owners", "_places")

    def __init__(self, names: Sequence[str], points: int = _POINTS) -> None:
        self._members = len(names)
        placed = sorted(
            (hash_of(name.encode(), b"%d" % point), member)
            for member, name in enumerate(names)
            for point in range(points)
        )
        self._places = [place for place, _ in placed]
        self._owners = [member for _, member in placed]

    def walk(self, key: int) -> Iterator[int]:
        """Yield every engine once, in the order in which `key` prefers them."""
        seen: set[int] = set()
        start = bisect_left(self._places, key)
        count = len(self._owners)
        for step in range(count):
            member = self._owners[(start + step) % count]
            if member not in seen:
                seen.add(member)
                yield member
                if len(seen) == self._members:
                    return


def first_with_room(
    order: Iterable[int], loads: Sequence[float | None], balance: float
) -> int | None:
    """Return the first in `order` that may take one more; none where nobody can.

    `loads` are requests now, none for who may not be asked, below 0 for who waits to be tried. The
    bound is `balance` times the mean with the new one counted in, rounded up, so somebody always
    has room.
    """
    present = [load for load in loads if load is not None]
    if not present:
        return None
    emptiest = min(present)
    if emptiest < 0:
        return loads.index(emptiest)
    most = math.ceil(balance * (sum(present) + 1) / len(present))
    for member in order:
        load = loads[member]
        if load is not None and (load + 1 <= most or load == emptiest):
            return member
    return None
