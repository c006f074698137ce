"""IAM and KMS."""

import json

from penstock.rehearsal.cloudformation.kinds import Api, Properties, Scene
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


def _detach_all(scene: Scene, made: Made) -> None:
    iam = scene.client("iam")
    for role in iam.list_entities_for_policy(PolicyArn=made.physical_id)["PolicyRoles"]:
        iam.detach_role_policy(RoleName=role["RoleName"], PolicyArn=made.physical_id)
    for each in iam.list_policy_versions(PolicyArn=made.physical_id)["Versions"]:
        if not each["IsDefaultVersion"]:
            iam.delete_policy_version(PolicyArn=made.physical_id, VersionId=each["VersionId"])


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


def _amend_key(scene: Scene, made: Made, wish: Properties) -> None:
    kms = scene.client("kms")
    policy = wish["KeyPolicy"]
    kms.put_key_policy(
        KeyId=made.physical_id,
        PolicyName="default",
        Policy=policy if isinstance(policy, str) else json.dumps(policy),
    )
    kms.update_key_description(KeyId=made.physical_id, Description=wish.get("Description", ""))
    if str(wish.get("EnableKeyRotation", False)).lower() == "true":
        kms.enable_key_rotation(KeyId=made.physical_id)
    else:
        kms.disable_key_rotation(KeyId=made.physical_id)


def _amend_policy(scene: Scene, made: Made, wish: Properties) -> None:
    iam, arn = scene.client("iam"), made.physical_id
    for each in iam.list_policy_versions(PolicyArn=arn)["Versions"]:
        if not each["IsDefaultVersion"]:
            iam.delete_policy_version(PolicyArn=arn, VersionId=each["VersionId"])
    iam.create_policy_version(
        PolicyArn=arn, PolicyDocument=json.dumps(wish["PolicyDocument"]), SetAsDefault=True
    )
    old, new = (set(each.get("Roles", ())) for each in (made.properties, wish))
    for role in new - old:
        iam.attach_role_policy(RoleName=role, PolicyArn=arn)
    for role in old - new:
        iam.detach_role_policy(RoleName=role, PolicyArn=arn)


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
        after=_attach, amend=_amend_policy, before_delete=_detach_all,
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
        after=_settle_key, amend=_amend_key,
    ),
    "AWS::KMS::Alias": Api(
        "kms", "create_alias", "=AliasName",
        delete="delete_alias", delete_by={"AliasName": "@ref"}, update="update_alias",
    ),
}  # fmt: skip
