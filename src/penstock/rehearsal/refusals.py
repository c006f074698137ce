"""How the stand-in says no: the errors that AWS's services answer with."""


class AwsError(Exception):
    """An error of a service; `code` is AWS's name for it, `status` the HTTP status."""

    def __init__(self, code: str, message: str, *, status: int = 400) -> None:
        super().__init__(message)
        self.code, self.message, self.status = code, message, status


def invalid(message: str) -> AwsError:
    """Return what SageMaker and most JSON services say to a wrong parameter."""
    return AwsError("ValidationException", message)


def throttled() -> AwsError:
    """Return what a service says to a client that asks too often."""
    return AwsError("ThrottlingException", "Rate exceeded", status=400)
