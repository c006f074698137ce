"""What exists in the rehearsed account, and what of it would be on the bill."""

from typing import Any

from penstock.rehearsal.cloud import Cloud
from penstock.rehearsal.cloudformation.records import Deck
from penstock.rehearsal.sagemaker.records import Estate

Thing = dict[str, Any]


class Inventory:
    """Looks at every service."""

    def __init__(self, cloud: Cloud, estate: Estate, deck: Deck) -> None:
        self._cloud, self._estate, self._deck = cloud, estate, deck

    def everything(self) -> list[Thing]:
        """Return every resource: its type, name and whether it costs money while it stands."""
        estate = self._estate
        things = [_thing("AWS::SageMaker::Model", name) for name in estate.models]
        things += [_thing("AWS::SageMaker::EndpointConfig", name) for name in estate.configs]
        things += [
            _thing("AWS::SageMaker::Endpoint", name, billable=True) for name in estate.endpoints
        ]
        things += [
            _thing("AWS::SageMaker::InferenceComponent", name) for name in estate.components
        ]
        things += [
            _thing("AWS::CloudFormation::Stack", stack.name)
            for stack in self._deck.stacks.values()
            if stack.status != "DELETE_COMPLETE"
        ]
        for bucket in self._cloud.client("s3").list_buckets()["Buckets"]:
            things.append(_thing("AWS::S3::Bucket", bucket["Name"], billable=True))
        for role in self._cloud.client("iam").list_roles()["Roles"]:
            things.append(_thing("AWS::IAM::Role", role["RoleName"]))
        return things

    def plant(self, _: Thing) -> list[Thing]:
        """Put things of somebody else into the account; returns them."""
        s3, iam = self._cloud.client("s3"), self._cloud.client("iam")
        where = {"LocationConstraint": self._cloud.region}
        more = {} if self._cloud.region == "us-east-1" else {"CreateBucketConfiguration": where}
        s3.create_bucket(Bucket="foreign-bucket", **more)
        s3.put_object(Bucket="foreign-bucket", Key="precious.bin", Body=bytes(range(256)))
        iam.create_role(RoleName="foreign-role", AssumeRolePolicyDocument="{}")
        return [
            _thing("AWS::S3::Bucket", "foreign-bucket", billable=True),
            _thing("AWS::IAM::Role", "foreign-role"),
        ]


def _thing(kind: str, name: str, *, billable: bool = False) -> Thing:
    return {"type": kind, "name": name, "billable": billable}
