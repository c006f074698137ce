"""What boto3 raises, in our words."""

import pytest
from botocore.exceptions import ClientError, EndpointConnectionError, NoCredentialsError

from penstock.ground.errors import CloudError, PenstockError, UserError
from penstock.targets.aws.refusals import aws_errors


def refusal(code: str) -> ClientError:
    return ClientError({"Error": {"Code": code, "Message": "no"}}, "CreateChangeSet")


@pytest.mark.parametrize(
    ("raised", "kind", "words"),
    [
        (refusal("ExpiredTokenException"), UserError, "Sign in anew and run it again"),
        (refusal("AccessDenied"), CloudError, "penstock render --iam"),
        (refusal("Throttling"), CloudError, "it goes on where it stopped"),
        (refusal("ValidationError"), CloudError, "refused CreateChangeSet: ValidationError: no"),
        (NoCredentialsError(), UserError, "AWS_PROFILE"),
        (EndpointConnectionError(endpoint_url="https://x"), CloudError, "cannot be reached"),
    ],
)
def test_a_refusal_says_what_to_do(
    raised: Exception, kind: type[PenstockError], words: str
) -> None:
    with pytest.raises(kind) as caught, aws_errors("CloudFormation"):
        raise raised
    assert words in str(caught.value)
