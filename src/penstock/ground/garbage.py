"""How a process that serves looks for garbage: rarely, for its work leaves no cycles."""

import gc


def settle_garbage() -> None:
    """What was imported stays, and is not looked at again; what comes is, now and then."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(50_000, 20, 50)
