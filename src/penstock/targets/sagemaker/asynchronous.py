"""What an asynchronous endpoint has beside: where answers go, and who is told of them."""

from troposphere import AWSObject, Join, NoValue, Ref, sagemaker, sns

from penstock.targets.sagemaker.deployment import Deployment

ASYNC_PREFIX = "async/"
"""Where in the bucket questions and answers lie; they are kept for 30 days."""


def async_topics(deployment: Deployment) -> list[AWSObject]:
    """Topics of answers and of failures.

    They carry names, because the execution role in the base stack is allowed to publish to these.
    """
    return [
        sns.Topic("AnsweredTopic", TopicName=f"{deployment.stack}-answered"),
        sns.Topic("FailedTopic", TopicName=f"{deployment.stack}-failed"),
    ]


def async_config(deployment: Deployment) -> sagemaker.AsyncInferenceConfig:
    """Answers and failures go to the deployment's bucket; both topics are told."""
    config = sagemaker.AsyncInferenceConfig(
        OutputConfig=sagemaker.AsyncInferenceOutputConfig(
            S3OutputPath=_below("answers/"),
            S3FailurePath=_below("failures/"),
            KmsKeyId=deployment.key(Ref("KeyArn")) or NoValue,
            NotificationConfig=sagemaker.AsyncInferenceNotificationConfig(
                SuccessTopic=Ref("AnsweredTopic"), ErrorTopic=Ref("FailedTopic")
            ),
        )
    )
    if sequences := deployment.manifest.engine.max_sequences:
        config.ClientConfig = sagemaker.AsyncInferenceClientConfig(
            MaxConcurrentInvocationsPerInstance=min(sequences * deployment.copies, 1000)
        )
    return config


def _below(folder: str) -> Join:
    return Join("", ["s3://", Ref("BucketName"), f"/{ASYNC_PREFIX}{folder}"])
