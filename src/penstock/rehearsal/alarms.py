"""Alarms, looked at as CloudWatch would: moto keeps them, the rehearsed metrics decide."""

import re
from collections.abc import Callable
from typing import Any

from moto.backends import get_backend
from simpleeval import simple_eval  # type: ignore[import-untyped]  # it ships no types

from penstock.rehearsal.cloud import Cloud
from penstock.rehearsal.expressions import calculate
from penstock.rehearsal.metrics import statistic
from penstock.rehearsal.scaling import Scaling

_STATE = re.compile(r'(ALARM|OK|INSUFFICIENT_DATA)\(\s*"?([^")]+?)"?\s*\)')
COMPARE: dict[str, Callable[[float, float], bool]] = {
    "GreaterThanThreshold": lambda value, limit: value > limit,
    "GreaterThanOrEqualToThreshold": lambda value, limit: value >= limit,
    "LessThanThreshold": lambda value, limit: value < limit,
    "LessThanOrEqualToThreshold": lambda value, limit: value <= limit,
}


class Alarms:
    """Evaluates every alarm, and rings."""

    def __init__(self, cloud: Cloud, scaling: Scaling) -> None:
        self._cloud, self._scaling = cloud, scaling

    def tick(self) -> None:
        """Look at every alarm once."""
        alarms = _kept(self._cloud)
        for alarm in list(alarms.values()):
            if alarm.rule:
                state, above = _follow(alarm.rule, alarms), 0.0
            elif alarm.metric_name or alarm.metric_data_queries:
                state, above = self._look(alarm)
                if self._cloud.faults.take("alarm", name=alarm.name):
                    state = "ALARM"
            else:
                continue
            self._enter(alarm, state, above)

    def _look(self, alarm: Any) -> tuple[str, float]:
        """Return the state that the last periods call for, and how far the limit is passed."""
        count, threshold = int(alarm.evaluation_periods), float(alarm.threshold)
        values = [self._value(alarm, index) for index in range(count)]
        missing = alarm.treat_missing_data or "missing"
        known = [value for value in values if value is not None]
        if not known and missing == "missing":
            return "INSUFFICIENT_DATA", 0.0
        if not known and missing == "ignore":
            return str(alarm.state_value), 0.0
        compare = COMPARE[alarm.comparison_operator]
        breaching = [value for value in known if compare(value, threshold)]
        total = len(breaching) + (count - len(known) if missing == "breaching" else 0)
        if total >= int(alarm.datapoints_to_alarm or count):
            return "ALARM", max(breaching, default=threshold) - threshold
        return "OK", 0.0

    def _value(self, alarm: Any, index: int) -> float | None:
        """Return the alarm's figure in the period that is `index` periods ago."""
        if not alarm.metric_data_queries:
            how = alarm.statistic or alarm.extended_statistic
            return self._figure(alarm, float(alarm.period), how, index)
        known: dict[str, float | None] = {}
        for each in alarm.metric_data_queries:
            if wish := each.metric_stat:
                known[each.id] = self._figure(wish.metric, float(wish.period), wish.stat, index)
        for each in alarm.metric_data_queries:
            if each.expression:
                known[each.id] = calculate(each.expression, known)
        told = [each.id for each in alarm.metric_data_queries if each.return_data is not False]
        return known[told[0]]

    def _figure(self, metric: Any, period_s: float, how: str, index: int) -> float | None:
        dimensions = {each.name: each.value for each in metric.dimensions or ()}
        found = self._cloud.metrics.values(
            metric.namespace, metric.metric_name, dimensions,
            ago_s=(index + 1) * period_s, for_s=period_s,
        )  # fmt: skip
        return statistic(found, how)

    def _enter(self, alarm: Any, state: str, above: float) -> None:
        changed = alarm.state_value != state
        if changed:
            alarm.update_state(f"Threshold: {alarm.threshold}", "{}", state)
        if not alarm.actions_enabled:
            return
        actions = {"ALARM": alarm.alarm_actions, "OK": alarm.ok_actions}.get(state) or ()
        for arn in actions:
            if ":scalingPolicy:" in arn:
                self._scaling.ring(arn, above, alarm.name)
            elif changed and ":sns:" in arn:
                said = f"{alarm.name} is {state}"
                self._cloud.client("sns").publish(TopicArn=arn, Subject=said, Message=said)


def put_composite(
    cloud: Cloud, name: str, rule: str, actions: list[str], description: str
) -> None:
    """Keep a composite alarm in moto's backend; its API lacks the operation."""
    backend: Any = get_backend("cloudwatch")[cloud.account][cloud.region]
    backend.put_metric_alarm(
        name=name, namespace=None, metric_name=None, comparison_operator=None,
        evaluation_periods=None, period=None, threshold=None, statistic=None,
        description=description, dimensions=[], alarm_actions=actions, rule=rule,
    )  # fmt: skip


def _kept(cloud: Cloud) -> dict[str, Any]:
    kept: dict[str, Any] = get_backend("cloudwatch")[cloud.account][cloud.region].alarms
    return kept


def _follow(rule: str, alarms: dict[str, Any]) -> str:
    def holds(found: re.Match[str]) -> str:
        alarm = alarms.get(found[2].rpartition(":alarm:")[2])
        return str(alarm is not None and alarm.state_value == found[1])

    words = _STATE.sub(holds, rule)
    for word, python in (("AND", "and"), ("OR", "or"), ("NOT", "not"), ("TRUE", "True")):
        words = re.sub(rf"\b{word}\b", python, words)
    return "ALARM" if simple_eval(words, names={"FALSE": False}) else "OK"
