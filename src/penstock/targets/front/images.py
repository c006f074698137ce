"""Where images are kept, and what builds them where there is no Docker."""

from troposphere import AWSObject, GetAtt, NoValue, Ref, Sub, codebuild, ecr

from penstock.targets.aws.roles import allow, role
from penstock.targets.front.logs import log_group
from penstock.targets.front.scene import Scene

KEPT_IMAGES = 20
_FUNCTIONS = "arn:${AWS::Partition}:lambda:${AWS::Region}:${AWS::AccountId}:function:"


def images(scene: Scene) -> list[AWSObject]:
    """The repository `Repository`, the project `BuildProject`, its role and its log.

    The repository empties itself when it is deleted; its tags are never moved.
    """
    repository = ecr.Repository(
        "Repository",
        EmptyOnDelete=True,
        ImageTagMutability="IMMUTABLE",
        ImageScanningConfiguration=ecr.ImageScanningConfiguration(ScanOnPush=True),
        EncryptionConfiguration=ecr.EncryptionConfiguration(
            EncryptionType="AES256" if scene.key is None else "KMS", KmsKey=scene.key or NoValue
        ),
        LifecyclePolicy=ecr.LifecyclePolicy(LifecyclePolicyText=_KEEP),
    )
    if scene.manifest.front.kind == "rest":
        repository.RepositoryPolicyText = _for_functions(scene)
    log = log_group("BuildLogs", scene.key)
    builder = role("BuildRole", "codebuild.amazonaws.com", _may(scene))
    project = codebuild.Project(
        "BuildProject",
        Description=f"Images of {scene.stack}: start it with a source and IMAGE_TAG",
        ServiceRole=GetAtt(builder, "Arn"),
        Artifacts=codebuild.Artifacts(Type="NO_ARTIFACTS"),
        Source=codebuild.Source(Type="S3", Location=Sub("${Bucket}/none.zip")),
        Environment=codebuild.Environment(
            Type="LINUX_CONTAINER",
            ComputeType="BUILD_GENERAL1_SMALL",
            Image="aws/codebuild/amazonlinux-x86_64-standard:5.0",
            PrivilegedMode=True,
            EnvironmentVariables=[
                codebuild.EnvironmentVariable(
                    Name="REPOSITORY_URI", Value=GetAtt(repository, "RepositoryUri")
                ),
                codebuild.EnvironmentVariable(Name="IMAGE_TAG", Value="none"),
            ],
        ),
        EncryptionKey=scene.key or NoValue,
        TimeoutInMinutes=30,
        LogsConfig=codebuild.LogsConfig(
            CloudWatchLogs=codebuild.CloudWatchLogs(Status="ENABLED", GroupName=Ref(log))
        ),
    )
    return [repository, log, builder, project]


def pull_statements(repository: object) -> list[dict[str, object]]:
    """What it takes to pull an image."""
    return [
        allow(["ecr:GetAuthorizationToken"], ["*"]),
        allow(
            ["ecr:BatchCheckLayerAvailability", "ecr:BatchGetImage", "ecr:GetDownloadUrlForLayer"],
            [repository],
        ),
    ]


def _may(scene: Scene) -> list[dict[str, object]]:
    pushes = [
        "ecr:CompleteLayerUpload",
        "ecr:InitiateLayerUpload",
        "ecr:PutImage",
        "ecr:UploadLayerPart",
    ]
    statements = [
        *pull_statements(GetAtt("Repository", "Arn")),
        allow(pushes, [GetAtt("Repository", "Arn")]),
        allow(["s3:GetObject", "s3:GetObjectVersion"], [Sub("${Bucket.Arn}/*")]),
        allow(["logs:CreateLogStream", "logs:PutLogEvents"], [GetAtt("BuildLogs", "Arn")]),
    ]
    if scene.key is not None:
        statements.append(allow(["kms:Decrypt", "kms:GenerateDataKey"], [scene.key]))
    return statements


def _for_functions(scene: Scene) -> dict[str, object]:
    """Lambda reads a function's image itself, and needs to be let in."""
    return {
        "Version": "2012-10-17",
        "Statement": [
            {
                "Effect": "Allow",
                "Principal": {"Service": "lambda.amazonaws.com"},
                "Action": ["ecr:BatchGetImage", "ecr:GetDownloadUrlForLayer"],
                "Condition": {
                    "ArnLike": {"aws:SourceArn": Sub(f"{_FUNCTIONS}{scene.stack[:24]}*")}
                },
            }
        ],
    }


_KEEP = (
    '{"rules":[{"rulePriority":1,"description":"The newest","selection":{"tagStatus":"any",'
    f'"countType":"imageCountMoreThan","countNumber":{KEPT_IMAGES}}},"action":{{"type":"expire"}}}}]}}'
)
