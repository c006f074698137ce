"""The pauses between restarts."""

from penstock.targets.local.backoff import Backoff


def test_it_doubles_up_to_the_cap() -> None:
    backoff = Backoff(first_s=1, cap_s=8, jitter=lambda: 0.0)
    assert [backoff.delay_s(0) for _ in range(6)] == [1, 2, 4, 8, 8, 8]


def test_health_forgives() -> None:
    backoff = Backoff(first_s=1, healthy_s=120, jitter=lambda: 0.0)
    assert [backoff.delay_s(s) for s in (0, 119, 120, 0)] == [1, 2, 1, 2]


def test_jitter_spreads_within_the_cap() -> None:
    backoff = Backoff(first_s=1, cap_s=2, spread=0.2, jitter=lambda: 1.0)
    assert [backoff.delay_s(0) for _ in range(3)] == [1.2, 2, 2]


def test_thousands_of_deaths_do_not_overflow() -> None:
    backoff = Backoff(cap_s=60, jitter=lambda: 0.0)
    assert [backoff.delay_s(0) for _ in range(5000)][-1] == 60
