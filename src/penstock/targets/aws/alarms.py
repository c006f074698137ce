"""CloudWatch alarms, and the topic that they speak to."""

from collections.abc import Mapping
from dataclasses import dataclass

from troposphere import AWSObject, Ref, cloudwatch, sns

MOST_PLACES = 9
"""From how many places an alarm may take a figure: it may name ten, and one is their highest."""


@dataclass(frozen=True, slots=True)
class Watch:
    """A figure and the threshold from which on it is an alarm, `minutes` of five in a row.

    `statistic` is one of CloudWatch's, or a percentile as `p95`. Where the same figure may stand
    in several places, `elsewhere` names the others, and the highest counts.
    """

    title: str
    about: str
    namespace: str
    metric: str
    dimensions: Mapping[str, object]
    statistic: str
    threshold: float
    minutes: int = 3
    elsewhere: tuple[Mapping[str, object], ...] = ()


def alarm(watch: Watch, actions: list[object], name: str = "") -> cloudwatch.Alarm:
    """The alarm of `watch`; no data means that all is well, for an idle endpoint has none."""
    options: dict[str, object] = _highest(watch) if watch.elsewhere else _alone(watch)
    if actions:
        options["AlarmActions"] = actions
    if name:
        options["AlarmName"] = name
    return cloudwatch.Alarm(
        watch.title,
        AlarmDescription=watch.about,
        EvaluationPeriods=max(watch.minutes, 1),
        DatapointsToAlarm=max(watch.minutes, 1),
        Threshold=watch.threshold,
        ComparisonOperator="GreaterThanOrEqualToThreshold",
        TreatMissingData="notBreaching",
        **options,
    )


def _alone(watch: Watch) -> dict[str, object]:
    percentile = watch.statistic.startswith("p")
    return {
        "Namespace": watch.namespace,
        "MetricName": watch.metric,
        "Dimensions": _dimensions(watch.dimensions),
        "Period": 60,
        "ExtendedStatistic" if percentile else "Statistic": watch.statistic,
    }


def _highest(watch: Watch) -> dict[str, object]:
    places = (watch.dimensions, *watch.elsewhere)
    names = [f"at{number}" for number, _ in enumerate(places)]
    queries = [
        cloudwatch.MetricDataQuery(
            Id="highest", Expression=f"MAX([{', '.join(names)}])", Label=watch.metric
        )
    ]
    for name, place in zip(names, places, strict=True):
        metric = cloudwatch.Metric(
            Namespace=watch.namespace, MetricName=watch.metric, Dimensions=_dimensions(place)
        )
        figure = cloudwatch.MetricStat(Metric=metric, Period=60, Stat=watch.statistic)
        queries.append(cloudwatch.MetricDataQuery(Id=name, MetricStat=figure, ReturnData=False))
    return {"Metrics": queries}


def _dimensions(place: Mapping[str, object]) -> list[cloudwatch.MetricDimension]:
    return [cloudwatch.MetricDimension(Name=key, Value=value) for key, value in place.items()]


def topic(title: str, email: str | None) -> list[AWSObject]:
    """A topic with the address `email` subscribed; none without an address.

    It is not encrypted by AWS's own key of SNS, with which CloudWatch cannot publish.
    """
    if email is None:
        return []
    made = sns.Topic(title)
    subscription = sns.SubscriptionResource(
        f"{title}Email", TopicArn=Ref(made), Protocol="email", Endpoint=email
    )
    return [made, subscription]
