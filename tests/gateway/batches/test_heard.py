"""Who is heard of no more is given up; who only stood still with us is not."""

from penstock.gateway.batching.heard import Heard
from penstock.registry.stores.batches import Sight

LEASE_S = 15.0


class Looks:
    """Looks at one batch, of a gateway whose beat the test counts up."""

    def __init__(self) -> None:
        self.now_s, self.owner, self.beat = 1000.0, "another", 1
        self._heard = Heard(LEASE_S, lambda: self.now_s)
        self.is_free()

    def is_free(self, after_s: float = 0.0) -> bool:
        self.now_s += after_s
        seen = Sight("batch_1", self.owner, self.beat, "in_progress", "bob")
        return self._heard.free([seen]) == [seen]


def test_what_nobody_runs_is_free_at_once() -> None:
    looks = Looks()
    looks.owner = ""
    assert looks.is_free()


def test_who_beats_keeps_his_batch() -> None:
    looks = Looks()
    for _ in range(100):
        looks.beat += 1
        assert not looks.is_free(after_s=LEASE_S * 0.9)


def test_who_is_not_heard_of_for_a_lease_is_given_up() -> None:
    looks = Looks()
    assert not any(looks.is_free(after_s=1.0) for _ in range(14))
    assert looks.is_free(after_s=1.0)


def test_who_has_stood_still_has_heard_of_nobody_meanwhile() -> None:
    """Gateways that stand still together are silent together: the first to go on waits."""
    looks = Looks()
    assert not looks.is_free(after_s=1.0)
    assert not looks.is_free(after_s=3600.0)
    looks.beat += 1  # the other one goes on, too
    assert not looks.is_free(after_s=1.0)


def test_who_is_dead_is_given_up_by_those_who_look_seldom() -> None:
    looks = Looks()
    assert [looks.is_free(after_s=60.0) for _ in range(4)] == [False, False, False, True]


def test_a_batch_that_went_from_one_to_another_is_not_free() -> None:
    looks = Looks()
    for number in range(40):
        looks.owner = f"gateway-{number // 10}"
        assert not looks.is_free(after_s=1.4)
