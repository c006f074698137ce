"""CloudWatch alarms, and the topic that they speak to."""

from collections.abc import Mapping
from dataclasses import dataclass

from troposphere import AWSObject, Ref, cloudwatch, sns


@dataclass(frozen=True, slots=True)
class Watch:
    """A figure and the threshold from which on it is an alarm, `minutes` of five in a row.

    `statistic` is one of CloudWatch's, or a percentile as `p95`.
    """

    title: str
    about: str
    namespace: str
    metric: str
    dimensions: Mapping[str, object]
    statistic: str
    threshold: float
    minutes: int = 3


def alarm(watch: Watch, actions: list[object], name: str = "") -> cloudwatch.Alarm:
    """The alarm of `watch`; no data means that all is well, for an idle endpoint has none."""
    percentile = watch.statistic.startswith("p")
    statistic = "ExtendedStatistic" if percentile else "Statistic"
    options: dict[str, object] = {statistic: watch.statistic}
    if actions:
        options["AlarmActions"] = actions
    if name:
        options["AlarmName"] = name
    return cloudwatch.Alarm(
        watch.title,
        AlarmDescription=watch.about,
        Namespace=watch.namespace,
        MetricName=watch.metric,
        Dimensions=[
            cloudwatch.MetricDimension(Name=key, Value=value)
            for key, value in watch.dimensions.items()
        ],
        Period=60,
        EvaluationPeriods=max(watch.minutes, 1),
        DatapointsToAlarm=max(watch.minutes, 1),
        Threshold=watch.threshold,
        ComparisonOperator="GreaterThanOrEqualToThreshold",
        TreatMissingData="notBreaching",
        **options,
    )


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
