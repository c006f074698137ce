"""Finding a key tells nothing of it: the work does not depend on how much of a guess is right.

A secret is never compared: it is looked up by its SHA-256, of which a guess that is nearly right
shares no more than any other. The clock is asked only for what differs grossly, so that a busy
machine is no failure.
"""

import gc
import statistics
import time
from collections.abc import Callable

from penstock.registry.directory import Directory
from penstock.registry.keys import digest_of, new_secret
from penstock.registry.records import KeyRecord


class Watched(bytes):
    """A digest that counts how often it is compared."""

    compared = 0

    def __eq__(self, other: object) -> bool:
        Watched.compared += 1
        return bytes.__eq__(self, other)

    __hash__ = bytes.__hash__


def directory_of(secrets: list[str]) -> Directory:
    directory = Directory()
    directory.put((), (KeyRecord(f"key-{n}", digest_of(secret.encode()).hex(), "", "org-a")
                       for n, secret in enumerate(secrets)))  # fmt: skip
    return directory


def guesses_at(secret: str) -> list[bytes]:
    """From nothing right to all but the last character."""
    wrong = "#" * len(secret)
    return [(secret[:right] + wrong[right:]).encode() for right in range(len(secret))]


def test_a_guess_shares_nothing_with_the_digest_however_near_it_is() -> None:
    secret = new_secret()
    held = digest_of(secret.encode())
    shared = [
        sum(a == b for a, b in zip(held, digest_of(guess), strict=True))
        for guess in guesses_at(secret)
    ]
    assert max(shared) <= 8  # of 32, by chance
    assert statistics.mean(shared[-10:]) < 2


def test_no_digest_is_compared_with_a_wrong_guess() -> None:
    """The table compares only what has the same 64-bit hash: a wrong guess costs no comparison."""
    secrets = [new_secret() for _ in range(500)]
    directory = directory_of(secrets)
    directory._keys = {Watched(digest): key for digest, key in directory._keys.items()}
    Watched.compared = 0
    for guess in guesses_at(secrets[7]):
        assert directory.key(digest_of(guess)) is None
    assert Watched.compared == 0
    assert directory.key(digest_of(secrets[7].encode())) is not None
    assert Watched.compared == 1


def test_the_time_of_a_guess_says_nothing() -> None:
    """Medians of interleaved rounds: all wrong, half right, all but one right, no such key."""
    secrets = [new_secret() for _ in range(2000)]
    directory, secret = directory_of(secrets), secrets[0]
    guesses = guesses_at(secret)
    kinds = [guesses[0], guesses[len(guesses) // 2], guesses[-1], new_secret().encode()]
    rounds: list[list[float]] = [[] for _ in kinds]
    gc.disable()
    try:
        for _ in range(60):
            for took, guess in zip(rounds, kinds, strict=True):
                took.append(_seconds(lambda guess=guess: directory.key(digest_of(guess))))  # type: ignore[misc]
    finally:
        gc.enable()
    medians = [statistics.median(took) for took in rounds]
    assert max(medians) < 1.5 * min(medians), medians


def test_admin_keys_take_the_same_comparisons_wherever_they_stand() -> None:
    secrets = [new_secret() for _ in range(20)]
    directory = Directory()
    directory.put((), (KeyRecord(f"key-{n}", digest_of(s.encode()).hex(), "", None)
                       for n, s in enumerate(secrets)))  # fmt: skip
    rounds: list[list[float]] = [[], [], []]
    for _ in range(60):
        for took, guess in zip(rounds, (secrets[0], secrets[-1], "wrong"), strict=True):
            took.append(_seconds(lambda guess=guess: directory.admin_of(guess.encode(), 0.0)))  # type: ignore[misc]
    medians = [statistics.median(took) for took in rounds]
    assert max(medians) < 1.5 * min(medians), medians


def _seconds(work: Callable[[], object]) -> float:
    began_s = time.thread_time()
    for _ in range(200):
        work()
    return time.thread_time() - began_s
