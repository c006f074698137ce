"""Names of requests."""

import itertools
import os

_numbers = itertools.count(1)
_RUN = os.urandom(8).hex().encode()


def new_request_id() -> bytes:
    """Return a request id that no other request of any gateway has."""
    return b"req-%b-%x" % (_RUN, next(_numbers))
