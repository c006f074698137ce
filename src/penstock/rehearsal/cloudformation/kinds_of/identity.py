"""IAM and KMS."""

import json

from penstock.rehearsal.cloudformation.kinds import Api, Scene
from penstock.rehearsal.cloudformation.records import Made


def _settle_role(scene: Scene, made: Made) -> None:
    iam, name, wish = scene.client("iam"), made.physical_id, made.properties
    iam.update_assume_role_policy(
        RoleName=name, PolicyDocument=json.dumps(wish["AssumeRolePolicyDocument"])
    )
    wanted = {each["PolicyName"]: each["PolicyDocument"] for each in wish.get("Policies", ())}
    for old in set(iam.list_role_policies(RoleName=name)["PolicyNames"]) - set(wanted):
        if old in {each["PolicyName"] for each in made.attributes.get("_policies", ())}:
            iam.delete_role_policy(RoleName=name, PolicyName=old)
    for policy, document in wanted.items():
        iam.put_role_policy(RoleName=name, PolicyName=policy, PolicyDocument=json.dumps(document))
    made.attributes["_policies"] = wish.get("Policies", ())
    managed = set(wish.get("ManagedPolicyArns", ()))
    attached = iam.list_attached_role_policies(RoleName=name)["AttachedPolicies"]
    for old in {each["PolicyArn"] for each in attached} - managed:
        iam.detach_role_policy(RoleName=name, PolicyArn=old)
    for arn in managed:
        iam.attach_role_policy(RoleName=name, PolicyArn=arn)


def _empty_role(scene: Scene, made: Made) -> None:
    iam, name = scene.client("iam"), made.physical_id
    if name not in {each["RoleName"] for each in iam.list_roles()["Roles"]}:
        return
    own = {each["PolicyName"] for each in made.properties.get("Policies", ())}
    for policy in own & set(iam.list_role_policies(RoleName=name)["PolicyNames"]):
        iam.delete_role_policy(RoleName=name, PolicyName=policy)
    for arn in made.properties.get("ManagedPolicyArns", ()):
        iam.detach_role_policy(RoleName=name, PolicyArn=arn)


def _put_policy(scene: Scene, made: Made) -> None:
    iam, wish = scene.client("iam"), made.properties
    for role in wish.get("Roles", ()):
        iam.put_role_policy(
            RoleName=role,
            PolicyName=wish["PolicyName"],
            PolicyDocument=json.dumps(wish["PolicyDocument"]),
        )


def _drop_policy(scene: Scene, made: Made) -> None:
    iam, wish = scene.client("iam"), made.properties
    for role in wish.get("Roles", ()):
        try:
            iam.delete_role_policy(RoleName=role, PolicyName=wish["PolicyName"])
        except iam.exceptions.NoSuchEntityException:
            continue  # the role went first


def _attach(scene: Scene, made: Made) -> None:
    iam = scene.client("iam")
    for role in made.properties.get("Roles", ()):
        iam.attach_role_policy(RoleName=role, PolicyArn=made.physical_id)


def _detach(scene: Scene, made: Made) -> None:
    iam = scene.client("iam")
    for role in iam.list_entities_for_policy(PolicyArn=made.physical_id)["PolicyRoles"]:
        iam.detach_role_policy(RoleName=role["RoleName"], PolicyArn=made.physical_id)


def _fill_profile(scene: Scene, made: Made) -> None:
    iam = scene.client("iam")
    for role in made.properties["Roles"]:
        iam.add_role_to_instance_profile(InstanceProfileName=made.physical_id, RoleName=role)


def _empty_profile(scene: Scene, made: Made) -> None:
    iam = scene.client("iam")
    for role in made.properties["Roles"]:
        iam.remove_role_from_instance_profile(InstanceProfileName=made.physical_id, RoleName=role)


def _settle_key(scene: Scene, made: Made) -> None:
    kms = scene.client("kms")
    if made.properties.get("EnableKeyRotation") in {True, "true"}:
        kms.enable_key_rotation(KeyId=made.physical_id)


KINDS = {
    "AWS::IAM::Role": Api(
        "iam", "create_role", "=RoleName",
        attributes={"Arn": "Role.Arn", "RoleId": "Role.RoleId"},
        delete="delete_role", delete_by={"RoleName": "@ref"},
        name="RoleName", name_length=64,
        apart=frozenset({"Policies", "ManagedPolicyArns"}),
        after=_settle_role, before_delete=_empty_role, update_apart_only=True,
    ),
    "AWS::IAM::Policy": Api(
        "iam", "", "=PolicyName", after=_put_policy, before_delete=_drop_policy,
        update_apart_only=True,
    ),
    "AWS::IAM::ManagedPolicy": Api(
        "iam", "create_policy", "Policy.Arn",
        attributes={"PolicyArn": "Policy.Arn"},
        delete="delete_policy", delete_by={"PolicyArn": "@ref"},
        name="ManagedPolicyName", name_length=128,
        names={"ManagedPolicyName": "PolicyName"}, apart=frozenset({"Roles"}),
        after=_attach, before_delete=_detach,
    ),
    "AWS::IAM::InstanceProfile": Api(
        "iam", "create_instance_profile", "=InstanceProfileName",
        attributes={"Arn": "InstanceProfile.Arn"},
        delete="delete_instance_profile", delete_by={"InstanceProfileName": "@ref"},
        name="InstanceProfileName", name_length=128, apart=frozenset({"Roles"}),
        after=_fill_profile, before_delete=_empty_profile,
    ),
    "AWS::KMS::Key": Api(
        "kms", "create_key", "KeyMetadata.KeyId",
        attributes={"Arn": "KeyMetadata.Arn", "KeyId": "KeyMetadata.KeyId"},
        names={"KeyPolicy": "Policy", "Tag.Key": "TagKey", "Tag.Value": "TagValue"},
        apart=frozenset({"EnableKeyRotation", "PendingWindowInDays", "Enabled"}),
        delete="schedule_key_deletion", delete_by={"KeyId": "@ref"},
        after=_settle_key,
    ),
    "AWS::KMS::Alias": Api(
        "kms", "create_alias", "=AliasName",
        delete="delete_alias", delete_by={"AliasName": "@ref"}, update="update_alias",
    ),
}  # fmt: skip
