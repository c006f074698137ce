"""A budget of the deployment: told of by mail, never a brake."""

from troposphere import budgets

from penstock.targets.aws.stack import DEPLOYMENT_TAG


def budget(deployment: str, usd_per_month: float, email: str) -> budgets.Budget:
    """Mail at 80 % spent, at 100 % forecast and at 100 % spent.

    It counts what carries the deployment's tag, once that tag is activated for cost allocation.
    """
    levels = (("ACTUAL", 80), ("FORECASTED", 100), ("ACTUAL", 100))
    return budgets.Budget(
        "Budget",
        Budget=budgets.BudgetData(
            BudgetType="COST",
            TimeUnit="MONTHLY",
            BudgetLimit=budgets.Spend(Amount=usd_per_month, Unit="USD"),
            CostFilters={"TagKeyValue": [f"user:{DEPLOYMENT_TAG}${deployment}"]},
        ),
        NotificationsWithSubscribers=[
            budgets.NotificationWithSubscribers(
                Notification=budgets.Notification(
                    NotificationType=kind, ComparisonOperator="GREATER_THAN", Threshold=per_cent
                ),
                Subscribers=[budgets.Subscriber(SubscriptionType="EMAIL", Address=email)],
            )
            for kind, per_cent in levels
        ],
    )
