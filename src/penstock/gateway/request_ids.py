"""Names of requests: in the order of time, so that an index of them grows at its end."""

import itertools
import os
import time

_numbers = itertools.count(1)
_RUN = b"%08x%b" % (int(time.time()), os.urandom(6).hex().encode())


def new_request_id() -> bytes:
    """Return a request id that no other request of any gateway has."""
    return b"req-%b-%08x" % (_RUN, next(_numbers))
