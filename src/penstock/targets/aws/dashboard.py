"""A CloudWatch dashboard, as code."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from troposphere import Sub, cloudwatch


@dataclass(frozen=True, slots=True)
class Graph:
    """Figures in one picture: metric name -> statistic, all of one namespace and place.

    A dimension may name what the stack makes, in the form of `Fn::Sub`.
    """

    title: str
    namespace: str
    dimensions: Mapping[str, str]
    metrics: Mapping[str, str]


def dashboard(name: str, region: str, graphs: Sequence[Graph]) -> cloudwatch.Dashboard:
    """A dashboard with two graphs a row."""
    widgets = [
        {
            "type": "metric",
            "x": 12 * (place % 2),
            "y": 6 * (place // 2),
            "width": 12,
            "height": 6,
            "properties": {
                "title": graph.title,
                "region": region,
                "period": 60,
                "view": "timeSeries",
                "metrics": [
                    _row(graph, metric, graph.metrics[metric]) for metric in graph.metrics
                ],
            },
        }
        for place, graph in enumerate(graphs)
    ]
    body = json.dumps({"widgets": widgets}, separators=(",", ":"))
    return cloudwatch.Dashboard(
        "Dashboard", DashboardName=name, DashboardBody=Sub(body) if "${" in body else body
    )


def _row(graph: Graph, metric: str, statistic: str) -> list[object]:
    where = [part for pair in graph.dimensions.items() for part in pair]
    return [graph.namespace, metric, *where, {"stat": statistic}]
