"""What changes mean for those who use a deployment."""

from penstock.plan.changes import Action, Change
from penstock.targets.aws.consequences import QUIET, consequences


def test_traffic_addresses_and_data_are_told() -> None:
    changes = [
        Change(Action.CHANGE, "Endpoint", "AWS::SageMaker::Endpoint"),
        Change(Action.REPLACE, "LoadBalancer", "AWS::ElasticLoadBalancingV2::LoadBalancer"),
        Change(Action.REMOVE, "Database", "AWS::RDS::DBCluster"),
    ]
    told = list(consequences(changes))
    assert "twice as many machines" in told[0]
    assert "its address changes" in told[1]
    assert "ARE LOST" in told[2]


def test_what_nobody_notices_is_said_so() -> None:
    quiet = Change(Action.CHANGE, "ErrorsAlarm", "AWS::CloudWatch::Alarm")
    assert list(consequences([quiet])) == [QUIET]
