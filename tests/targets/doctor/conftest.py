"""A stand-in for AWS that all tests of this room share."""

from collections.abc import Iterator

import pytest
from tests.gateway import sagemaker_stack
from tests.rehearsal.account import Account


@pytest.fixture(scope="module")
def aws(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Account]:
    with sagemaker_stack.account(tmp_path_factory.mktemp("aws"), scale=240) as found:
        yield found
