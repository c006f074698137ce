"""Why a database cannot be used, in words for whoever runs the gateway.

The driver's own message may hold the address with its password, or what a statement carried: only
what is known by its code is told, and the name of its kind.
"""

import errno
import os
import socket
import sqlite3

_BY_STATE = {
    "28": "it does not accept this user or password",
    "3D": "there is no such database on that server: create it first",
    "42501": "its user lacks a permission: it must make tables, and read and write them",
    "25006": "it can only be read: this is a standby, or its disk is protected",
    "53100": "its disk is full",
    "53300": "it has no connections left",
    "53": "it lacks a resource",
    "57P": "it is stopping or starting",
    "08": "the connection was lost",
    "40": "another transaction was in the way",
}
"""By how PostgreSQL's codes begin; the longer ones first."""
_BY_NAME = {
    "SQLITE_FULL": "the disk is full",
    "SQLITE_BUSY": "another process holds the file for too long",
    "SQLITE_READONLY": "the file cannot be written",
    "SQLITE_CANTOPEN": "the file cannot be opened",
    "SQLITE_NOTADB": "the file is no SQLite database",
    "SQLITE_CORRUPT": "the file is damaged: restore it from a backup",
    "SQLITE_IOERR": "the disk fails",
}
_BY_TYPE: tuple[tuple[type[BaseException], str], ...] = (
    (ConnectionRefusedError, "nobody listens at its address"),
    (socket.gaierror, "its host is not known by that name"),
    (TimeoutError, "it does not answer in time"),
    (ConnectionError, "it cannot be reached"),
    (FileNotFoundError, "the folder of its file does not exist"),
    (PermissionError, "its file may not be opened"),
    (IsADirectoryError, "its path is a folder"),
)


def reason_of(error: BaseException) -> str:
    """Return why; the kind of the error stands behind it, or alone where the code says nothing."""
    cause = getattr(error, "orig", None) or error
    known = _known(cause)
    kind = type(cause.__cause__ or cause).__name__
    return f"{known} ({kind})" if known else kind


def is_ours_to_bear(error: BaseException) -> bool:
    """Whether it is the database that fails, not a statement of ours."""
    return _known(getattr(error, "orig", None) or error) is not None


def state_of(error: BaseException) -> str:
    """Return PostgreSQL's code, empty where there is none."""
    return str(getattr(getattr(error, "orig", None) or error, "sqlstate", None) or "")


def _known(cause: BaseException) -> str | None:
    state = state_of(cause)
    if state:
        return next((why for start, why in _BY_STATE.items() if state.startswith(start)), None)
    if isinstance(cause, sqlite3.Error):
        name = getattr(cause, "sqlite_errorname", "")
        return next((why for start, why in _BY_NAME.items() if name.startswith(start)), None)
    for each, why in _BY_TYPE:
        if isinstance(cause, each):
            return why
    if isinstance(cause, OSError) and cause.errno == errno.ENOSPC:
        return os.strerror(errno.ENOSPC)
    return None
