"""`python -m penstock.cli.scribe SOCKET SLOTS`: writes what one gateway settles.

Started by a gateway, with the numbers of two descriptors; the rest it is told over the socket.
"""

import logging
import signal
import sys

from penstock.wiring.scribe import run_scribe


def main() -> int:
    """Write until the gateway ends; returns the exit code."""
    logging.basicConfig(
        level=logging.INFO, stream=sys.stderr, format="%(asctime)s %(levelname)s %(message)s"
    )
    # Whoever stops a whole group means the gateway, which has something left to write.
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)
    run_scribe(int(sys.argv[1]), int(sys.argv[2]))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
