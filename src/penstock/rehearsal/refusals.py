"""How the stand-in says no: the errors that AWS's services answer with."""


class AwsError(Exception):
    """An error of a service; `code` is AWS's name for it, `status` the HTTP status."""

    def __init__(self, code: str, message: str, *, status: int = 400) -> None:
        super().__init__(message)
        self.code, self.message, self.status = code, message, status


def invalid(message: str) -> AwsError:
    """Return what SageMaker and most JSON services say to a wrong parameter."""
    return AwsError("ValidationException", message)


def throttled(service: str = "") -> AwsError:
    """Return what a service says to a client that asks too often."""
    code, status = THROTTLED.get(service, ("ThrottlingException", 400))
    words = "Please reduce your request rate." if service == "s3" else "Rate exceeded"
    return AwsError(code, words, status=status)


THROTTLED = {
    **dict.fromkeys(("cloudformation", "cloudwatch", "iam", "elbv2", "rds"), ("Throttling", 400)),
    **dict.fromkeys(("lambda", "apigateway"), ("TooManyRequestsException", 429)),
    "ec2": ("RequestLimitExceeded", 503),
    "s3": ("SlowDown", 503),
    "sts": ("Throttling", 400),
    "ssm": ("ThrottlingException", 400),
}
"""What each service calls it, where that is not `ThrottlingException`."""
FORBIDDEN = {"ec2": ("UnauthorizedOperation", 403)}


def forbidden(service: str, protocol: str, error: AwsError) -> AwsError:
    """Return a refusal for want of permissions as the service words it."""
    usual = ("AccessDeniedException", 400 if protocol == "json" else 403)
    if protocol in {"query", "rest-xml"}:
        usual = ("AccessDenied", 403)
    if error.code != "AccessDenied":
        usual = (error.code, 403)
    code, status = FORBIDDEN.get(service, usual)
    return AwsError(code, error.message, status=status)
