"""A CloudWatch dashboard, as code."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from troposphere import Sub, cloudwatch


@dataclass(frozen=True, slots=True)
class Graph:
    """Figures in one picture: metric name -> statistic, all of one namespace.

    They stand at one place, and at those `elsewhere`. A dimension may name what the stack makes,
    in the form of `Fn::Sub`.
    """

    title: str
    namespace: str
    dimensions: Mapping[str, str]
    metrics: Mapping[str, str]
    elsewhere: tuple[Mapping[str, str], ...] = ()


def dashboard(name: str, region: str, graphs: Sequence[Graph]) -> cloudwatch.Dashboard:
    """A dashboard with two graphs a row."""
    widgets = [
        {
            "type": "metric",
            "x": 12 * (number % 2),
            "y": 6 * (number // 2),
            "width": 12,
            "height": 6,
            "properties": {
                "title": graph.title,
                "region": region,
                "period": 60,
                "view": "timeSeries",
                "metrics": [
                    _row(graph.namespace, metric, place, statistic)
                    for place in (graph.dimensions, *graph.elsewhere)
                    for metric, statistic in graph.metrics.items()
                ],
            },
        }
        for number, graph in enumerate(graphs)
    ]
    body = json.dumps({"widgets": widgets}, separators=(",", ":"))
    return cloudwatch.Dashboard(
        "Dashboard", DashboardName=name, DashboardBody=Sub(body) if "${" in body else body
    )


def _row(namespace: str, metric: str, place: Mapping[str, str], statistic: str) -> list[object]:
    where = [part for pair in place.items() for part in pair]
    return [namespace, metric, *where, {"stat": statistic}]
