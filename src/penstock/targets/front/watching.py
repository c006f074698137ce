"""What is watched of a front: alarms, some of which undo its roll-outs, and graphs."""

from collections.abc import Iterator

from troposphere import GetAtt, Ref

from penstock.targets.aws.alarms import Watch
from penstock.targets.aws.dashboard import Graph

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


def front_graphs(kind: str, stack: str) -> Iterator[Graph]:
    """The dashboard's pictures of a front."""
    if kind == "gateway":
        where = {
            "LoadBalancer": "${LoadBalancer.LoadBalancerFullName}",
            "TargetGroup": "${GatewayTargets.TargetGroupFullName}",
        }
        counts = {
            "RequestCount": "Sum",
            "HTTPCode_Target_4XX_Count": "Sum",
            "HTTPCode_Target_5XX_Count": "Sum",
        }
        yield Graph("Requests to the gateway", BALANCER, where, counts)
        hosts = {"HealthyHostCount": "Minimum", "UnHealthyHostCount": "Maximum"}
        yield Graph("Gateways", BALANCER, where, hosts)
        task = {"ClusterName": "${Cluster}", "ServiceName": "${Gateway.Name}"}
        used = {"CPUUtilization": "Average", "MemoryUtilization": "Maximum"}
        yield Graph("Gateways, per cent", "AWS/ECS", task, used)
    elif kind == "rest":
        counts = {"Count": "Sum", "4XXError": "Sum", "5XXError": "Sum"}
        yield Graph("Requests to the API", "AWS/ApiGateway", {"ApiName": stack}, counts)
        runs = {"ConcurrentExecutions": "Maximum", "Errors": "Sum", "Throttles": "Sum"}
        yield Graph("Functions", "AWS/Lambda", {"FunctionName": "${Function}"}, runs)
