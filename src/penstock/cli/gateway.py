"""`python -m penstock.cli.gateway --settings FILE`: one gateway process; `s3://...` in AWS.

Started by `penstock up` and by containers. It goes past Typer, because it must serve within
fractions of a second.
"""

import argparse
import logging
import sys

from penstock.ground.errors import PenstockError
from penstock.wiring.gateway import run_gateway


def main() -> int:
    """Serve until told to stop; returns the exit code."""
    parser = argparse.ArgumentParser(prog="penstock gateway", description=__doc__)
    parser.add_argument("--settings", required=True, help="JSON settings file, or s3://BUCKET/KEY")
    arguments = parser.parse_args()
    logging.basicConfig(
        level=logging.INFO, stream=sys.stderr, format="%(asctime)s %(levelname)s %(message)s"
    )
    for library in ("uvicorn.error", "httpx", "botocore"):
        # What httpx tells of each request holds what tools were asked.
        logging.getLogger(library).setLevel(logging.WARNING)
    # It warns of each form that a client has got wrong: whoever uploads could fill the log.
    logging.getLogger("python_multipart").setLevel(logging.ERROR)
    try:
        return run_gateway(arguments.settings)
    except KeyboardInterrupt:
        return 130  # uvicorn has stopped in good order, and then hands the signal on
    except PenstockError as error:
        print(f"error: {error}", file=sys.stderr)  # noqa: T201 - this is a command
        return 1


if __name__ == "__main__":
    raise SystemExit(main())
