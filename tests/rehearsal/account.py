"""The rehearsed account as a test sees it: boto3 over the socket, and the stand-in's orders."""

import json
import re
import time
from collections.abc import Callable
from typing import Any

import boto3
import httpx
from botocore.config import Config

ROLE: dict[str, Any] = {
    "Type": "AWS::IAM::Role",
    "Properties": {
        "AssumeRolePolicyDocument": {
            "Version": "2012-10-17",
            "Statement": [
                {
                    "Effect": "Allow",
                    "Principal": {"Service": "sagemaker.amazonaws.com"},
                    "Action": "sts:AssumeRole",
                }
            ],
        }
    },
}


SCALED = re.compile(r"in-progress endpoint|while it is in state UPDATE_RC_IN_PROGRESS")
"""Why an endpoint or a component cannot be deleted that scales by itself."""


class Account:
    """Clients, orders and waiting."""

    def __init__(self, said: dict[str, str]) -> None:
        self.said = said
        self.url, self.region = said["url"], said["region"]
        self._clients: dict[str, Any] = {}
        self.credentials = {
            "aws_access_key_id": said["access_key"],
            "aws_secret_access_key": said["secret_key"],
        }

    def client(self, service: str) -> Any:
        if service not in self._clients:
            self._clients[service] = self._client(service)
        return self._clients[service]

    def close(self) -> None:
        for client in self._clients.values():
            client.close()

    def _client(self, service: str) -> Any:
        return boto3.client(
            service,
            region_name=self.region,
            endpoint_url=self.url,
            config=Config(retries={"max_attempts": 4, "mode": "standard"}),
            **self.credentials,
        )

    def order(self, name: str, wish: Any = None, method: str = "POST") -> Any:
        answer = httpx.request(method, f"{self.url}/_rehearsal/{name}", json=wish, timeout=60)
        assert answer.status_code == 200, answer.text
        return answer.json()

    def deploy(self, name: str, template: dict[str, Any], **more: Any) -> dict[str, Any]:
        """Create or update a stack by a change set; return it when it has settled."""
        cloudformation = self.client("cloudformation")
        known = {each["StackName"] for each in cloudformation.describe_stacks()["Stacks"]}
        executed = {"DisableRollback": more.pop("DisableRollback", False)}
        made = cloudformation.create_change_set(
            StackName=name,
            ChangeSetName=f"c{time.monotonic_ns()}",
            ChangeSetType="UPDATE" if name in known else "CREATE",
            TemplateBody=json.dumps(template),
            Capabilities=["CAPABILITY_NAMED_IAM"],
            **more,
        )
        cloudformation.execute_change_set(ChangeSetName=made["Id"], **executed)
        return self.settled(made["StackId"])

    def settled(self, stack: str) -> dict[str, Any]:
        """Wait until nothing of the stack is in progress."""
        cloudformation = self.client("cloudformation")

        def look() -> dict[str, Any] | None:
            found: dict[str, Any] = cloudformation.describe_stacks(StackName=stack)["Stacks"][0]
            return None if found["StackStatus"].endswith("IN_PROGRESS") else found

        settled: dict[str, Any] = wait_for(look)
        return settled

    def destroy(self, name: str) -> dict[str, Any]:
        """Delete a stack; once more where something of it was just being scaled, as in AWS."""
        cloudformation = self.client("cloudformation")
        stack = cloudformation.describe_stacks(StackName=name)["Stacks"][0]["StackId"]

        def deleted() -> dict[str, Any] | None:
            known = len(failures(self, {"StackId": stack}))
            cloudformation.delete_stack(StackName=name)
            settled = self.settled(stack)
            new = failures(self, settled)[: -known or None]
            return None if any(SCALED.search(why) for _, why in new) else settled

        gone: dict[str, Any] = wait_for(deleted)
        return gone

    def outputs(self, stack: dict[str, Any]) -> dict[str, str]:
        return {each["OutputKey"]: each["OutputValue"] for each in stack.get("Outputs", [])}


def wait_for(look: Callable[[], Any], seconds: float = 120.0) -> Any:
    """Look until there is something."""
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        if found := look():
            return found
        time.sleep(0.05)
    raise AssertionError("it did not come")


def one_model(**endpoint: Any) -> dict[str, Any]:
    """The smallest template of an endpoint with one model."""
    return {
        "Resources": {
            "Role": ROLE,
            "Bucket": {"Type": "AWS::S3::Bucket", "Properties": {}},
            "Model": {
                "Type": "AWS::SageMaker::Model",
                "Properties": {
                    "ExecutionRoleArn": {"Fn::GetAtt": ["Role", "Arn"]},
                    "PrimaryContainer": {
                        "Image": "763104351884.dkr.ecr.us-east-1.amazonaws.com/vllm:1",
                        "Environment": {"SM_VLLM_MODEL": "some/model"},
                    },
                },
            },
            "Config": {
                "Type": "AWS::SageMaker::EndpointConfig",
                "Properties": {
                    "ProductionVariants": [
                        {
                            "VariantName": "main",
                            "ModelName": {"Fn::GetAtt": ["Model", "ModelName"]},
                            "InstanceType": "ml.g5.xlarge",
                            "InitialInstanceCount": 1,
                            "InitialVariantWeight": 1,
                        }
                    ]
                },
            },
            "Endpoint": {
                "Type": "AWS::SageMaker::Endpoint",
                "Properties": {
                    "EndpointConfigName": {"Fn::GetAtt": ["Config", "EndpointConfigName"]},
                    **endpoint,
                },
            },
        },
        "Outputs": {
            "EndpointName": {"Value": {"Fn::GetAtt": ["Endpoint", "EndpointName"]}},
            "BucketName": {"Value": {"Ref": "Bucket"}},
        },
    }


def failures(aws: Account, stack: dict[str, Any]) -> list[tuple[str, str]]:
    """What failed in a stack, and why."""
    events = aws.client("cloudformation").describe_stack_events(StackName=stack["StackId"])
    return [
        (each["LogicalResourceId"], each.get("ResourceStatusReason", ""))
        for each in events["StackEvents"]
        if "FAILED" in each["ResourceStatus"]
    ]
