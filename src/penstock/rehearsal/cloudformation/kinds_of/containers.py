"""ECR, CodeBuild, ECS, load balancers, certificates."""

import json

from penstock.rehearsal.cloudformation.kinds import (
    Api,
    Properties,
    ResourceFailed,
    Scene,
)
from penstock.rehearsal.cloudformation.records import Made

POLL_S, STABLE_S = 5.0, 3 * 3600.0
"""How often a service is looked at, and how long it may take to become steady."""


def _settle_repository(scene: Scene, made: Made) -> None:
    if policy := made.properties.get("RepositoryPolicyText"):
        scene.client("ecr").set_repository_policy(
            repositoryName=made.physical_id, policyText=json.dumps(policy)
        )
    if policy := made.properties.get("LifecyclePolicy", {}).get("LifecyclePolicyText"):
        scene.client("ecr").put_lifecycle_policy(
            repositoryName=made.physical_id, lifecyclePolicyText=policy
        )


def _empty_repository(scene: Scene, made: Made) -> None:
    if str(made.properties.get("EmptyOnDelete", False)).lower() != "true":
        return
    ecr = scene.client("ecr")
    images = ecr.list_images(repositoryName=made.physical_id)["imageIds"]
    if images:
        ecr.batch_delete_image(repositoryName=made.physical_id, imageIds=images)


def _amend_cluster(scene: Scene, made: Made, wish: Properties) -> None:
    settings = [
        {"name": each["Name"], "value": each["Value"]} for each in wish.get("ClusterSettings", ())
    ]
    scene.client("ecs").update_cluster(cluster=made.physical_id, settings=settings)


def _service_up(scene: Scene, made: Made) -> None:
    """Wait for the deployment: CloudFormation is done when the service is steady."""
    made.attributes.setdefault("ServiceArn", made.physical_id)
    made.attributes["Name"] = made.physical_id.rpartition("/")[2]
    until_s = scene.cloud.clock() + STABLE_S
    while scene.cloud.clock() < until_s:
        service = _service(scene, made)
        state = service["deployments"][0]["rolloutState"]
        back = service["taskDefinition"] != made.properties["TaskDefinition"]
        if state == "FAILED" or (back and state == "COMPLETED"):
            raise ResourceFailed(
                "Error occurred during operation 'ECS Deployment Circuit Breaker was triggered'.",
                made,
            )
        if state == "COMPLETED":
            return
        scene.cloud.clock.sleep(POLL_S)
    raise ResourceFailed("Resource timed out waiting for completion", made)


def _stop_service(scene: Scene, made: Made) -> None:
    scene.client("ecs").update_service(
        cluster=made.properties["Cluster"], service=made.physical_id, desiredCount=0
    )


def _service_gone(scene: Scene, made: Made) -> None:
    while _service(scene, made)["status"] != "INACTIVE":
        scene.cloud.clock.sleep(POLL_S)


def _service(scene: Scene, made: Made) -> Properties:
    ecs = scene.client("ecs")
    found = ecs.describe_services(cluster=made.properties["Cluster"], services=[made.physical_id])[
        "services"
    ]
    return dict(found[0])


def _set_attributes(scene: Scene, made: Made) -> None:
    elb, wish = scene.client("elbv2"), made.properties
    if attributes := wish.get("LoadBalancerAttributes"):
        elb.modify_load_balancer_attributes(
            LoadBalancerArn=made.physical_id, Attributes=attributes
        )
    arn = made.physical_id
    if groups := wish.get("SecurityGroups"):
        elb.set_security_groups(LoadBalancerArn=arn, SecurityGroups=groups)
    if subnets := wish.get("Subnets"):
        elb.set_subnets(LoadBalancerArn=arn, Subnets=subnets)
    found = elb.describe_load_balancers(LoadBalancerArns=[made.physical_id])["LoadBalancers"][0]
    made.attributes |= {
        "DNSName": found["DNSName"],
        "CanonicalHostedZoneID": found.get("CanonicalHostedZoneId", ""),
        "LoadBalancerFullName": made.physical_id.partition("loadbalancer/")[2],
        "LoadBalancerName": found["LoadBalancerName"],
    }


def _set_target_attributes(scene: Scene, made: Made) -> None:
    if attributes := made.properties.get("TargetGroupAttributes"):
        scene.client("elbv2").modify_target_group_attributes(
            TargetGroupArn=made.physical_id, Attributes=attributes
        )
    made.attributes["TargetGroupFullName"] = made.physical_id.rpartition(":")[2]


def _rule(_: Scene, wish: Properties) -> Properties:
    return {**wish, "Priority": int(wish["Priority"])}


KINDS = {
    "AWS::ECR::Repository": Api(
        "ecr", "create_repository", "=repositoryName",
        {"Arn": "repository.repositoryArn", "RepositoryUri": "repository.repositoryUri"},
        name="RepositoryName", lower=True,
        apart=frozenset({"LifecyclePolicy", "EmptyOnDelete", "RepositoryPolicyText"}),
        after=_settle_repository, before_delete=_empty_repository, update_apart_only=True,
        delete="delete_repository", delete_by={"repositoryName": "@ref"},
    ),
    "AWS::CodeBuild::Project": Api(
        "codebuild", "create_project", "=name", {"Arn": "project.arn"}, name="Name",
        update="update_project", delete="delete_project", delete_by={"name": "@ref"},
    ),
    "AWS::ECS::Cluster": Api(
        "ecs", "create_cluster", "=clusterName", {"Arn": "cluster.clusterArn"},
        name="ClusterName", names={"ClusterSettings": "settings"}, amend=_amend_cluster,
        delete="delete_cluster", delete_by={"cluster": "@ref"},
    ),
    "AWS::ECS::TaskDefinition": Api(
        "ecs", "register_task_definition", "taskDefinition.taskDefinitionArn",
        {"TaskDefinitionArn": "taskDefinition.taskDefinitionArn"}, name="Family",
        delete="deregister_task_definition", delete_by={"taskDefinition": "@ref"},
    ),
    "AWS::ECS::Service": Api(
        "ecs", "create_service", "service.serviceArn", {"ServiceArn": "service.serviceArn"},
        name="ServiceName", after=_service_up, before_delete=_stop_service, gone=_service_gone,
        update="update_service", delete="delete_service",
        delete_by={"cluster": "=Cluster", "service": "@ref"},
    ),
    "AWS::ElasticLoadBalancingV2::LoadBalancer": Api(
        "elbv2", "create_load_balancer", "LoadBalancers.0.LoadBalancerArn",
        {"LoadBalancerArn": "LoadBalancers.0.LoadBalancerArn"}, name="Name", name_length=32,
        apart=frozenset({"LoadBalancerAttributes"}), after=_set_attributes,
        update_apart_only=True,
        delete="delete_load_balancer", delete_by={"LoadBalancerArn": "@ref"},
    ),
    "AWS::ElasticLoadBalancingV2::TargetGroup": Api(
        "elbv2", "create_target_group", "TargetGroups.0.TargetGroupArn",
        {"TargetGroupArn": "TargetGroups.0.TargetGroupArn"}, name="Name", name_length=32,
        apart=frozenset({"TargetGroupAttributes"}), after=_set_target_attributes,
        update="modify_target_group",
        delete="delete_target_group", delete_by={"TargetGroupArn": "@ref"},
    ),
    "AWS::ElasticLoadBalancingV2::Listener": Api(
        "elbv2", "create_listener", "Listeners.0.ListenerArn",
        {"ListenerArn": "Listeners.0.ListenerArn"}, update="modify_listener",
        delete="delete_listener", delete_by={"ListenerArn": "@ref"},
    ),
    "AWS::ElasticLoadBalancingV2::ListenerRule": Api(
        "elbv2", "create_rule", "Rules.0.RuleArn", {"RuleArn": "Rules.0.RuleArn"},
        prepare=_rule, update="modify_rule",
        delete="delete_rule", delete_by={"RuleArn": "@ref"},
    ),
    "AWS::CertificateManager::Certificate": Api(
        "acm", "request_certificate", "CertificateArn", {"CertificateArn": "CertificateArn"},
        delete="delete_certificate", delete_by={"CertificateArn": "@ref"},
    ),
}  # fmt: skip
