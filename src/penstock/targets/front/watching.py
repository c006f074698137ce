"""What is watched of a front: alarms, some of which undo its roll-outs."""

from troposphere import GetAtt, Ref

from penstock.targets.aws.alarms import Watch

BALANCER = "AWS/ApplicationELB"


def gateway_watches() -> list[Watch]:
    """Answers with 5xx, and gateways that are not ready: either undoes a roll-out."""
    where = {
        "LoadBalancer": GetAtt("LoadBalancer", "LoadBalancerFullName"),
        "TargetGroup": GetAtt("GatewayTargets", "TargetGroupFullName"),
    }
    errors, unready = "HTTPCode_Target_5XX_Count", "UnHealthyHostCount"
    about = "The gateway answers with errors"
    return [
        Watch("GatewayErrorsAlarm", about, BALANCER, errors, where, "Sum", 25, 2),
        Watch(
            "GatewayUnreadyAlarm",
            "A gateway is not ready",
            BALANCER,
            unready,
            where,
            "Maximum",
            threshold=1,
            minutes=5,
        ),
    ]


def rest_watches() -> list[Watch]:
    """Errors of the function, and requests that found none free."""
    where = {"FunctionName": Ref("Function")}
    errors, full = "The gateway's function fails", "Requests find no free function"
    return [
        Watch("FunctionErrorsAlarm", errors, "AWS/Lambda", "Errors", where, "Sum", 5, 2),
        Watch("FunctionThrottlesAlarm", full, "AWS/Lambda", "Throttles", where, "Sum", 1, 2),
    ]
