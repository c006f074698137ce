"""What `penstock tenants` and `penstock keys` refuse before they ask a gateway."""

import pytest
from tests.cli.conftest import Run

from penstock.cli.admin_client import policy_fields

FOR = ("--url", "http://127.0.0.1:9", "--admin-key", "a")


@pytest.mark.parametrize(
    ("pair", "said"),
    [
        ("requests_per_secnd=3", "Did you mean requests_per_second"),
        ("foo=3", "there is no limit foo"),
        ("foo=3", "There are: requests_per_second, burst,"),
        ("burst=many", "is no setting"),
    ],
)
@pytest.mark.parametrize("command", [("tenants", "create"), ("keys", "create")])
def test_a_limit_that_there_is_not(
    run: Run, command: tuple[str, str], pair: str, said: str
) -> None:
    ran = run(*command, "org-a", "--limit", pair, *FOR)
    assert ran.code == 2
    assert said in " ".join(ran.err.split())


def test_a_limit_can_be_taken_away() -> None:
    given = ["requests_per_day=none", "burst=7"]
    assert policy_fields(None, None, given, []) == {
        "limits": {"requests_per_day": None, "burst": 7}
    }
