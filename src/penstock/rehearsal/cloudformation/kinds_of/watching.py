"""CloudWatch, Logs, SNS, EventBridge, Budgets, Scheduler: who watches and who is told."""

import json

from penstock.rehearsal.alarms import put_composite
from penstock.rehearsal.cloudformation.kinds import Api, Properties, ResourceFailed, Scene
from penstock.rehearsal.cloudformation.records import Made
from penstock.rehearsal.cloudformation.shaping import parameters


def _keep_logs(scene: Scene, made: Made) -> None:
    made.attributes["Arn"] = scene.cloud.arn("logs", f"log-group:{made.physical_id}:*")
    if days := made.properties.get("RetentionInDays"):
        scene.client("logs").put_retention_policy(
            logGroupName=made.physical_id, retentionInDays=int(days)
        )


def _alarm_arn(scene: Scene, made: Made) -> None:
    made.attributes["Arn"] = scene.cloud.arn("cloudwatch", f"alarm:{made.physical_id}")


def _put_composite(scene: Scene, made: Made) -> None:
    wish = made.properties
    known = {"AlarmName", "AlarmRule", "AlarmActions", "AlarmDescription", "Tags"}
    if odd := set(wish) - known:
        raise ResourceFailed(f"the stand-in does not know the composite alarm's {sorted(odd)}")
    actions, words = wish.get("AlarmActions", []), wish.get("AlarmDescription", "")
    put_composite(scene.cloud, made.physical_id, wish["AlarmRule"], actions, words)
    _alarm_arn(scene, made)


def _whole_topic(_: Scene, wish: Properties) -> Properties:
    attributes = {name: wish[name] for name in ("DisplayName", "KmsMasterKeyId") if name in wish}
    rest = {name: value for name, value in wish.items() if name not in attributes}
    return {**rest, **({"Attributes": attributes} if attributes else {})}


def _amend_topic(scene: Scene, made: Made, wish: Properties) -> None:
    for name in ("DisplayName", "KmsMasterKeyId"):
        if wish.get(name) != made.properties.get(name):
            scene.client("sns").set_topic_attributes(
                TopicArn=made.physical_id,
                AttributeName=name,
                AttributeValue=str(wish.get(name, "")),
            )
    if wish.get("Subscription") != made.properties.get("Subscription"):
        _unsubscribe_all(scene, made)
        new = Made(made.logical_id, made.kind, made.physical_id, wish)
        _subscribe_to_topic(scene, new)


def _subscribe_to_topic(scene: Scene, made: Made) -> None:
    for each in made.properties.get("Subscription", ()):
        scene.client("sns").subscribe(
            TopicArn=made.physical_id, Protocol=each["Protocol"], Endpoint=each["Endpoint"]
        )


def _unsubscribe_all(scene: Scene, made: Made) -> None:
    sns = scene.client("sns")
    found = sns.list_subscriptions_by_topic(TopicArn=made.physical_id)
    for each in found["Subscriptions"]:
        sns.unsubscribe(SubscriptionArn=each["SubscriptionArn"])


def _put_topic_policy(scene: Scene, made: Made) -> None:
    for arn in made.properties["Topics"]:
        scene.client("sns").set_topic_attributes(
            TopicArn=arn,
            AttributeName="Policy",
            AttributeValue=json.dumps(made.properties["PolicyDocument"]),
        )


def _aim(scene: Scene, made: Made) -> None:
    if targets := made.properties.get("Targets"):
        scene.client("events").put_targets(Rule=made.physical_id, Targets=targets)


def _take_aim_away(scene: Scene, made: Made) -> None:
    if targets := made.properties.get("Targets"):
        ids = [each["Id"] for each in targets]
        scene.client("events").remove_targets(Rule=made.physical_id, Ids=ids)


def _amend_budget(scene: Scene, made: Made, wish: Properties) -> None:
    """moto cannot change a budget, so the same one is made anew."""
    budgets, account = scene.client("budgets"), scene.cloud.account
    budgets.delete_budget(AccountId=account, BudgetName=made.physical_id)
    notices = (
        {"NotificationsWithSubscribers": wish["NotificationsWithSubscribers"]}
        if "NotificationsWithSubscribers" in wish
        else {}
    )
    handed = {"AccountId": account, "Budget": {**wish["Budget"], "BudgetName": made.physical_id}}
    shape = budgets.meta.service_model.operation_model("CreateBudget").input_shape
    budgets.create_budget(**parameters({**handed, **notices}, shape, {}, "budget"))


def _account(scene: Scene, wish: Properties) -> Properties:
    budget = dict(wish["Budget"])
    budget.setdefault("BudgetName", scene.generate(100, lower=False))
    wish["Budget"] = budget
    return {**wish, "AccountId": scene.cloud.account}


def _budget_name(scene: Scene, made: Made) -> None:
    made.attributes["AccountId"] = scene.cloud.account


KINDS = {
    "AWS::CloudWatch::Alarm": Api(
        "cloudwatch", "put_metric_alarm", "=AlarmName", after=_alarm_arn,
        update="put_metric_alarm", delete="delete_alarms", delete_by={"AlarmNames": "[@ref"},
        name="AlarmName", name_length=255,
    ),
    "AWS::CloudWatch::CompositeAlarm": Api(
        "cloudwatch", "", "=AlarmName", after=_put_composite, update_apart_only=True,
        delete="delete_alarms", delete_by={"AlarmNames": "[@ref"},
        name="AlarmName", name_length=255,
    ),
    "AWS::CloudWatch::Dashboard": Api(
        "cloudwatch", "put_dashboard", "=DashboardName", update="put_dashboard", tags="",
        delete="delete_dashboards", delete_by={"DashboardNames": "[@ref"},
        name="DashboardName", name_length=255,
    ),
    "AWS::Logs::LogGroup": Api(
        "logs", "create_log_group", "=logGroupName", name="LogGroupName", name_length=512,
        delete="delete_log_group", delete_by={"logGroupName": "@ref"},
        apart=frozenset({"RetentionInDays"}), after=_keep_logs, update_apart_only=True,
    ),
    "AWS::Logs::MetricFilter": Api(
        "logs", "put_metric_filter", "=filterName", update="put_metric_filter", tags="",
        name="FilterName", delete="delete_metric_filter",
        delete_by={"filterName": "@ref", "logGroupName": "=LogGroupName"},
    ),
    "AWS::SNS::Topic": Api(
        "sns", "create_topic", "TopicArn", {"TopicArn": "TopicArn", "TopicName": "=Name"},
        name="TopicName", name_length=256, names={"TopicName": "Name"},
        apart=frozenset({"Subscription"}), prepare=_whole_topic, after=_subscribe_to_topic,
        before_delete=_unsubscribe_all, amend=_amend_topic,
        delete="delete_topic", delete_by={"TopicArn": "@ref"},
    ),
    "AWS::SNS::TopicPolicy": Api(
        "sns", "", "!topic-policy", after=_put_topic_policy, update_apart_only=True,
    ),
    "AWS::SNS::Subscription": Api(
        "sns", "subscribe", "SubscriptionArn", tags="",
        delete="unsubscribe", delete_by={"SubscriptionArn": "@ref"},
    ),
    "AWS::Events::Rule": Api(
        "events", "put_rule", "=Name", {"Arn": "RuleArn"}, update="put_rule", name="Name",
        apart=frozenset({"Targets"}), after=_aim, before_delete=_take_aim_away,
        delete="delete_rule", delete_by={"Name": "@ref"},
    ),
    "AWS::Budgets::Budget": Api(
        "budgets", "create_budget", "=Budget.BudgetName", prepare=_account, after=_budget_name,
        tags="", amend=_amend_budget, delete="delete_budget",
        delete_by={"AccountId": "=AccountId", "BudgetName": "@ref"},
    ),
    "AWS::Scheduler::Schedule": Api(
        "scheduler", "create_schedule", "=Name", {"Arn": "ScheduleArn"}, tags="", name="Name",
        update="update_schedule", delete="delete_schedule", delete_by={"Name": "@ref"},
    ),
}  # fmt: skip
