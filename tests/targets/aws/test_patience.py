"""Pauses grow while nothing happens, and end."""

import pytest

from penstock.ground.errors import CloudError
from penstock.targets.aws.patience import LONGEST_S, SHORTEST_S, Patience


class Time:
    """A clock that goes on while somebody sleeps."""

    def __init__(self) -> None:
        self.now_s, self.slept = 0.0, list[float]()

    def __call__(self) -> float:
        return self.now_s

    def sleep(self, seconds: float) -> None:
        self.now_s += seconds
        self.slept.append(seconds)


def test_pauses_grow_and_are_short_again_after_news() -> None:
    time = Time()
    patience = Patience("a stack", sleep=time.sleep, clock=time)
    for _ in range(40):
        patience.pause()
    assert time.slept[0] == SHORTEST_S
    assert time.slept[-1] == LONGEST_S
    patience.news()
    patience.pause()
    assert time.slept[-1] == SHORTEST_S


def test_words_come_ever_more_seldom() -> None:
    time = Time()
    patience = Patience("a stack", sleep=time.sleep, clock=time)
    words = 0
    while time.now_s < 100:
        words += patience.is_time_for_a_word()
        patience.pause()
    assert words == 5  # after 5, 10, 20, 40 and 80 s


def test_it_gives_up_when_nothing_happens() -> None:
    time = Time()
    patience = Patience("a stack", still_s=60, sleep=time.sleep, clock=time)
    while time.now_s < 60:
        patience.pause()
    time.sleep(1)
    with pytest.raises(CloudError, match="nothing has happened to a stack for 1 minutes"):
        patience.pause()
