"""CloudWatch's figures, read from what was really measured; alarms and dashboards are moto's.

Times are the wall's: an hour of AWS's clock lies within a minute or less of it.
"""

import time
from collections import defaultdict
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from penstock.rehearsal.cloud import Cloud
from penstock.rehearsal.expressions import calculate
from penstock.rehearsal.metrics import statistic
from penstock.rehearsal.refusals import AwsError

Parameters = dict[str, Any]
Series = dict[float, float]
STATISTICS = {"Sum", "Average", "Maximum", "Minimum", "SampleCount"}


class Figures:
    """The operations on metrics."""

    def __init__(self, cloud: Cloud) -> None:
        self._metrics = cloud.metrics

    def put_metric_data(self, given: Parameters) -> Parameters:
        """Measure what a client says that it measured."""
        for each in given.get("MetricData", ()):
            dimensions = _dimensions(each)
            values = each.get("Values") or [each.get("Value")]
            counts = each.get("Counts") or [1.0] * len(values)
            if values[0] is None:
                raise AwsError(
                    "InvalidParameterCombination",
                    "the stand-in takes Value or Values, no StatisticValues",
                )
            for value, count in zip(values, counts, strict=True):
                for _ in range(int(count)):
                    self._metrics.put(given["Namespace"], each["MetricName"], dimensions, value)
        return {}

    def list_metrics(self, given: Parameters) -> Parameters:
        """Return what was ever measured, filtered by namespace, name and dimensions."""
        wanted = [(each["Name"], each.get("Value")) for each in given.get("Dimensions", ())]
        return {
            "Metrics": [
                {
                    "Namespace": namespace,
                    "MetricName": name,
                    "Dimensions": [{"Name": k, "Value": v} for k, v in dimensions.items()],
                }
                for namespace, name, dimensions in self._metrics.known()
                if given.get("Namespace", namespace) == namespace
                and given.get("MetricName", name) == name
                and all(k in dimensions and v in {None, dimensions[k]} for k, v in wanted)
            ]
        }

    def get_metric_statistics(self, given: Parameters) -> Parameters:
        """Return statistics of each period that has points, oldest first."""
        names = [*given.get("Statistics", ()), *given.get("ExtendedStatistics", ())]
        if not names:
            raise AwsError("MissingParameter", "The parameter Statistics is required.")
        series = {name: self._series(given, given, name) for name in names}
        points: dict[float, Parameters] = defaultdict(dict)
        for name, values in series.items():
            for at, value in values.items():
                if name in STATISTICS:
                    points[at][name] = value
                else:
                    points[at].setdefault("ExtendedStatistics", {})[name] = value
        return {
            "Label": given["MetricName"],
            "Datapoints": [
                {"Timestamp": datetime.fromtimestamp(at, UTC), **points[at]}
                for at in sorted(points)
            ],
        }

    def get_metric_data(self, given: Parameters) -> Parameters:
        """Return the values of each query, newest first unless it is asked otherwise."""
        found: dict[str, Series] = {}
        for each in given["MetricDataQueries"]:
            if wish := each.get("MetricStat"):
                asked = {**wish["Metric"], "Period": wish["Period"]}
                found[each["Id"]] = self._series(asked, given, wish["Stat"])
        for each in given["MetricDataQueries"]:
            if expression := each.get("Expression"):
                found[each["Id"]] = _calculate(expression, found)
        newest_first = given.get("ScanBy", "TimestampDescending") == "TimestampDescending"
        return {
            "MetricDataResults": [
                _told(each, found[each["Id"]], newest_first=newest_first)
                for each in given["MetricDataQueries"]
                if each.get("ReturnData", True)
            ]
        }

    def _series(self, asked: Parameters, between: Parameters, name: str) -> Series:
        begin_s, end_s = _unix(between["StartTime"]), _unix(between["EndTime"])
        period = float(asked["Period"])
        slots: dict[float, list[float]] = defaultdict(list)
        for each in self._metrics.between(
            asked["Namespace"], asked["MetricName"], _dimensions(asked), begin_s, end_s
        ):
            slots[each.wall_s // period * period].append(each.value)
        told = {at: statistic(values, name) for at, values in slots.items()}
        return {at: value for at, value in told.items() if value is not None}


def _told(query: Parameters, series: Series, *, newest_first: bool) -> Parameters:
    times = sorted(series, reverse=newest_first)
    name = query.get("MetricStat", {}).get("Metric", {}).get("MetricName", query["Id"])
    return {
        "Id": query["Id"],
        "Label": query.get("Label", name),
        "Timestamps": [datetime.fromtimestamp(each, UTC) for each in times],
        "Values": [series[each] for each in times],
        "StatusCode": "Complete",
    }


def _calculate(expression: str, known: Mapping[str, Series]) -> Series:
    """Return what a metric math expression makes of other series, at each time that it can."""
    calculate(expression, dict.fromkeys(known))  # refuses what it cannot, also where nothing is
    times = sorted({at for series in known.values() for at in series})
    told = {at: calculate(expression, {n: s.get(at) for n, s in known.items()}) for at in times}
    return {at: value for at, value in told.items() if value is not None}


def _dimensions(given: Parameters) -> dict[str, str]:
    return {each["Name"]: each["Value"] for each in given.get("Dimensions", ())}


def _unix(value: Any) -> float:
    if isinstance(value, datetime):
        aware = value if value.tzinfo else value.replace(tzinfo=UTC)
        return aware.timestamp()
    return float(value) if isinstance(value, int | float) else time.time()
