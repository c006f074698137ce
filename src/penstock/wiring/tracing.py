"""Whether a gateway traces, and by what."""

from __future__ import annotations

import logging
import os
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from penstock.gateway.settings import TracingSettings
    from penstock.gateway.tracing import Tracing

_ADDRESSES = ("OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT")


def open_tracing(told: TracingSettings) -> Tracing | None:
    """Return what spans are told to; none, and nothing is imported, where there is no receiver.

    Raises:
        UserError: the manifest names a receiver, and OpenTelemetry is not installed.
    """
    from penstock.ground.errors import UserError

    off = os.environ.get("OTEL_SDK_DISABLED", "").lower() == "true"
    other = os.environ.get("OTEL_TRACES_EXPORTER", "otlp") != "otlp"
    if off or other or not (told.endpoint or any(map(os.environ.get, _ADDRESSES))):
        return None
    try:
        from penstock.gateway.tracing import Tracing
    except ModuleNotFoundError as error:
        fix = "Install it: pip install 'penstock[tracing]'"
        if told.endpoint:
            raise UserError("OpenTelemetry is not installed", why=str(error), fix=fix) from error
        logging.getLogger("penstock.gateway").warning("nothing is traced: %s. %s", error, fix)
        return None
    return Tracing(told.endpoint, told.share)
