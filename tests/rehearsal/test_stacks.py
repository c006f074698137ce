"""CloudFormation's ways: refusals, failures and rollback, replacement, what is left alone."""

import copy
import json
from typing import Any

import pytest
from botocore.exceptions import ClientError
from tests.rehearsal.account import ROLE, Account, failures, one_model


def bucket(**properties: Any) -> dict[str, Any]:
    return {"Resources": {"Bucket": {"Type": "AWS::S3::Bucket", "Properties": properties}}}


@pytest.mark.parametrize(
    ("resource", "why"),
    [
        ({"Type": "AWS::Nimbus::Cloud"}, "cannot make a AWS::Nimbus::Cloud"),
        ({"Type": "AWS::Neptune::DBCluster"}, "cannot make"),
        ({"Type": "AWS::S3::Bucket", "Properties": {"Nmae": "x"}}, "extraneous key"),
        ({"Type": "AWS::SageMaker::Endpoint", "Properties": {}}, "required key"),
        ({"Type": "AWS::S3::Bucket", "DependsOn": "Nothing"}, "Unresolved"),
        (
            {"Type": "AWS::S3::Bucket", "Properties": {"BucketName": {"Ref": "Nothing"}}},
            "Unresolved",
        ),
        (
            {"Type": "AWS::S3::Bucket", "Properties": {"BucketName": {"Fn::Transform": {}}}},
            "does not know Fn::Transform",
        ),
    ],
)
def test_what_is_not_known_is_refused(aws: Account, resource: dict[str, Any], why: str) -> None:
    with pytest.raises(ClientError, match=why):
        aws.client("cloudformation").create_change_set(
            StackName="refused",
            ChangeSetName="one",
            ChangeSetType="CREATE",
            TemplateBody=json.dumps({"Resources": {"It": resource}}),
        )


def test_a_role_needs_a_capability(aws: Account) -> None:
    with pytest.raises(ClientError, match="InsufficientCapabilities"):
        aws.client("cloudformation").create_change_set(
            StackName="incapable",
            ChangeSetName="one",
            ChangeSetType="CREATE",
            TemplateBody=json.dumps({"Resources": {"Role": ROLE}}),
        )


@pytest.mark.parametrize(
    ("fault", "why"),
    [
        ("capacity", "InsufficientInstanceCapacity"),
        ("quota", "ResourceLimitExceeded"),
        ("health_check", "ping health check"),
        ("download", "Failed to download model data"),
    ],
)
def test_a_failed_endpoint_rolls_the_stack_back(aws: Account, fault: str, why: str) -> None:
    name, before = f"f-{fault}".replace("_", "-"), things(aws)
    aws.order("faults", {"kind": fault, "name": name})
    stack = aws.deploy(name, one_model(EndpointName=name))
    assert stack["StackStatus"] == "ROLLBACK_COMPLETE"
    assert [each for each, reason in failures(aws, stack) if why in reason] == ["Endpoint"]
    assert aws.destroy(name)["StackStatus"] == "DELETE_COMPLETE"
    assert things(aws) == before


def test_without_rollback_the_wreck_is_kept_and_mended(aws: Account) -> None:
    aws.order("faults", {"kind": "resource", "name": "Model"})
    stack = aws.deploy("wreck", one_model(EndpointName="wreck"), DisableRollback=True)
    assert stack["StackStatus"] == "CREATE_FAILED"
    kept = aws.client("cloudformation").describe_stack_resources(StackName="wreck")
    assert {each["LogicalResourceId"] for each in kept["StackResources"]} == {"Role", "Bucket"}
    with pytest.raises(ClientError, match=r"non-terminal \[CREATE_FAILED\]"):
        aws.deploy("wreck", one_model(EndpointName="wreck"))
    again = aws.deploy("wreck", one_model(EndpointName="wreck"), DisableRollback=True)
    assert again["StackStatus"] == "UPDATE_COMPLETE", failures(aws, again)
    assert aws.destroy("wreck")["StackStatus"] == "DELETE_COMPLETE"


def test_an_update_replaces_changes_and_removes(aws: Account) -> None:
    template = one_model(EndpointName="renewed")
    stack = aws.deploy("renewed", template)
    assert failures(aws, stack) == []
    new = copy.deepcopy(template)
    del new["Resources"]["Bucket"], new["Outputs"]["BucketName"]
    container = new["Resources"]["Model"]["Properties"]["PrimaryContainer"]
    container["Environment"]["SM_VLLM_MAX_MODEL_LEN"] = "1024"
    cloudformation = aws.client("cloudformation")
    cloudformation.create_change_set(
        StackName="renewed",
        ChangeSetName="look",
        TemplateBody=json.dumps(new),
        Capabilities=["CAPABILITY_IAM"],
    )
    told = cloudformation.describe_change_set(StackName="renewed", ChangeSetName="look")
    changes = {
        each["ResourceChange"]["LogicalResourceId"]: (
            each["ResourceChange"]["Action"],
            each["ResourceChange"].get("Replacement"),
        )
        for each in told["Changes"]
    }
    assert changes == {
        "Model": ("Modify", "True"),
        "Config": ("Modify", "Conditional"),
        "Endpoint": ("Modify", "False"),
        "Bucket": ("Remove", None),
    }
    aws.order("faults", {"kind": "resource", "name": "Endpoint"})
    back = aws.deploy("renewed", new)
    assert back["StackStatus"] == "UPDATE_ROLLBACK_COMPLETE"
    done = aws.deploy("renewed", new)
    assert done["StackStatus"] == "UPDATE_COMPLETE", failures(aws, done)
    assert len(aws.client("sagemaker").list_models(NameContains="renewed")["Models"]) == 1
    same = cloudformation.create_change_set(
        StackName="renewed",
        ChangeSetName="same",
        TemplateBody=json.dumps(new),
        Capabilities=["CAPABILITY_IAM"],
    )
    empty = cloudformation.describe_change_set(ChangeSetName=same["Id"])
    assert (empty["Status"], empty["ExecutionStatus"]) == ("FAILED", "UNAVAILABLE")
    assert "didn't contain changes" in empty["StatusReason"]
    assert aws.destroy("renewed")["StackStatus"] == "DELETE_COMPLETE"


def test_everything_can_be_read_back(aws: Account) -> None:
    template = one_model(EndpointName="read")
    del template["Resources"]["Endpoint"], template["Outputs"]["EndpointName"]
    stack = aws.deploy("read", template, Tags=[{"Key": "penstock:deployment", "Value": "read"}])
    assert failures(aws, stack) == []
    cloudformation, sagemaker = aws.client("cloudformation"), aws.client("sagemaker")
    assert cloudformation.get_template(StackName="read")["TemplateBody"] == template
    listed = cloudformation.list_stack_resources(StackName="read")["StackResourceSummaries"]
    assert {each["LogicalResourceId"] for each in listed} == set(template["Resources"])
    one = cloudformation.describe_stack_resource(StackName="read", LogicalResourceId="Model")
    arn = one["StackResourceDetail"]["PhysicalResourceId"]
    name = arn.rpartition("/")[2]
    assert sagemaker.describe_model(ModelName=name)["ModelArn"] == arn
    tags = sagemaker.list_tags(ResourceArn=arn)["Tags"]
    assert tags == [{"Key": "penstock:deployment", "Value": "read"}]
    sagemaker.add_tags(ResourceArn=arn, Tags=[{"Key": "a", "Value": "b"}])
    sagemaker.delete_tags(ResourceArn=arn, TagKeys=["penstock:deployment"])
    assert sagemaker.list_tags(ResourceArn=arn)["Tags"] == [{"Key": "a", "Value": "b"}]
    config = sagemaker.list_endpoint_configs(NameContains="read")["EndpointConfigs"][0]
    found = sagemaker.describe_endpoint_config(EndpointConfigName=config["EndpointConfigName"])
    assert found["ProductionVariants"][0]["ModelName"] == name
    summaries = cloudformation.list_stacks(StackStatusFilter=["CREATE_COMPLETE"])["StackSummaries"]
    assert "read" in {each["StackName"] for each in summaries}
    assert len(cloudformation.list_change_sets(StackName="read")["Summaries"]) == 1
    cloudformation.validate_template(TemplateBody=json.dumps(template))
    protect = cloudformation.update_termination_protection
    protect(StackName="read", EnableTerminationProtection=True)
    with pytest.raises(ClientError, match="TerminationProtection"):
        cloudformation.delete_stack(StackName="read")
    protect(StackName="read", EnableTerminationProtection=False)
    assert aws.destroy("read")["StackStatus"] == "DELETE_COMPLETE"


def test_a_full_bucket_is_not_deleted_and_retained_ones_stay(aws: Account) -> None:
    template = bucket(BucketName="full")
    assert aws.deploy("full", template)["StackStatus"] == "CREATE_COMPLETE"
    s3 = aws.client("s3")
    s3.put_object(Bucket="full", Key="a", Body=b"b")
    assert aws.destroy("full")["StackStatus"] == "DELETE_FAILED"
    s3.delete_object(Bucket="full", Key="a")
    assert aws.destroy("full")["StackStatus"] == "DELETE_COMPLETE"
    template["Resources"]["Bucket"]["DeletionPolicy"] = "Retain"
    aws.deploy("full", template)
    assert aws.destroy("full")["StackStatus"] == "DELETE_COMPLETE"
    s3.delete_bucket(Bucket="full")


def test_the_things_of_others_stay(aws: Account) -> None:
    planted = aws.order("foreign", {})
    aws.deploy("beside", bucket())
    aws.destroy("beside")
    assert [each for each in planted if each not in things(aws)] == []


def things(aws: Account) -> list[Any]:
    return [e for e in aws.order("inventory", method="GET") if "Logs" not in e["type"]]
