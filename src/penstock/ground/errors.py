"""Every error Penstock raises on purpose, in one tree.

    PenstockError
    |-- UserError               the user can mend it: a file, an argument, a request
    |   |-- ManifestError       penstock.yaml is wrong; carries one problem a line
    |   |-- MachineError        this machine lacks something: a port, a wheel, an instruction set
    |   |-- RequestError        a request asks for what cannot be given (`param`, `code`)
    |   |-- NotAllowed          the key is missing, wrong, revoked, or not allowed to do this
    |   `-- LimitExceeded       a limit was reached; says when to come back
    |       `-- BudgetExceeded  the money or the tokens of a day or month are used up
    |-- Overloaded              the engines are full, and it took too long; says when to come back
    |-- AnswerUnfit             the model's answer is not what `response_format` asks for
    |-- StoreUnavailable        the registry's database or counters cannot be reached
    |   `-- NoRoom              what has ended comes faster than it is written
    |-- CloudError              AWS refused, or cannot be reached
    |-- EngineError             the engine behind us
    |   |-- EngineUnavailable   nothing listens, or it is not ready yet
    |   |   `-- EngineAsleep    it is scaled to zero and wakes; says when to come back
    |   |-- EngineDied          it went away in the middle of an answer or of its start
    |   `-- EngineRefused       it answered with an error of its own (status and body kept)
    `-- ToolError               a tool failed; becomes a tool message, never a crash

An error says what happened, why, what to do and where. HTTP status codes are chosen in
`gateway/` alone, exit codes in `cli/` alone.
"""


class PenstockError(Exception):
    """Base of the tree. `str(error)` reads `what: why. fix (where).`"""

    accounted = False
    """Whether the ledger has a line of the request that it ended."""

    def __init__(self, what: str, *, why: str = "", fix: str = "", where: str = "") -> None:
        self.what, self.why, self.fix, self.where = what, why, fix, where
        super().__init__(what)

    def __str__(self) -> str:
        text = f"{self.what}: {self.why}" if self.why else self.what
        if self.fix:
            text = f"{text.rstrip('.')}. {self.fix}"
        if self.where:
            text = f"{text.rstrip('.')} ({self.where})"
        text = text.rstrip()
        return text if text.endswith((".", "?", ")", "`", "}")) else f"{text}."


class UserError(PenstockError):
    """The user's mistake, or something only the user can mend."""


class ManifestError(UserError):
    """`penstock.yaml` cannot be used; `what` holds one problem a line."""


class MachineError(UserError):
    """This machine lacks what the command needs."""


class RequestError(UserError):
    """A request asks for something that cannot be given.

    `param` names the request field and `code` is OpenAI's machine-readable reason.
    """

    def __init__(
        self, what: str, *, why: str = "", fix: str = "", param: str = "", code: str = ""
    ) -> None:
        super().__init__(what, why=why, fix=fix)
        self.param, self.code = param, code


class NotAllowed(UserError):
    """The key is missing, unknown, revoked, or lacks the right."""


class LimitExceeded(UserError):
    """A limit was reached; `retry_after_s` says when it is worth trying again.

    `limit` says which one, and whose, for the books; left out, it is `why`.
    """

    def __init__(
        self, what: str, *, retry_after_s: float, why: str = "", fix: str = "", limit: str = ""
    ) -> None:
        super().__init__(what, why=why, fix=fix)
        self.retry_after_s, self.limit = retry_after_s, limit or why


class BudgetExceeded(LimitExceeded):
    """A budget is used up; `retry_after_s` says when its next day or month begins."""


class Overloaded(PenstockError):
    """The engines are full; `retry_after_s` says when it is worth trying again."""

    def __init__(self, what: str, *, retry_after_s: float, why: str = "") -> None:
        super().__init__(what, why=why)
        self.retry_after_s = retry_after_s


class AnswerUnfit(PenstockError):
    """The model did not answer as was asked, twice; `usage` is what that took, in tokens."""

    def __init__(self, what: str, *, why: str, fix: str, usage: dict[str, int] | None) -> None:
        super().__init__(what, why=why, fix=fix)
        self.usage = usage


class StoreUnavailable(PenstockError):
    """The registry's database cannot be reached, or has failed."""


class NoRoom(StoreUnavailable):
    """What has ended comes faster than it is written; a moment later there may be room."""


class CloudError(PenstockError):
    """AWS refused what was asked of it, or cannot be reached."""


class EngineError(PenstockError):
    """The engine behind the gateway failed."""


class EngineUnavailable(EngineError):
    """No engine can take the request now."""


class EngineAsleep(EngineUnavailable):
    """No copy of the model runs, and it takes long to wake; `retry_after_s` as elsewhere."""

    def __init__(self, what: str, *, why: str, retry_after_s: float) -> None:
        super().__init__(what, why=why)
        self.retry_after_s = retry_after_s


class EngineDied(EngineError):
    """The engine went away while it was answering or starting."""


class EngineRefused(EngineError):
    """The engine answered with an error; `status` and `body` are its own."""

    def __init__(self, what: str, *, status: int, body: bytes = b"") -> None:
        super().__init__(what)
        self.status, self.body = status, body


class ToolError(PenstockError):
    """A tool could not do its work; the model is told, the turn goes on.

    `transient` means that trying again at once may help.
    """

    def __init__(
        self, what: str, *, why: str = "", fix: str = "", transient: bool = False
    ) -> None:
        super().__init__(what, why=why, fix=fix)
        self.transient = transient
