"""What `penstock tenants` and `penstock keys` refuse before they ask a gateway."""

import pytest
from tests.cli.conftest import Run

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
