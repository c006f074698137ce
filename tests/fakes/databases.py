"""Real database servers for tests: private, on free ports, in folders of their own."""

import os
import pwd
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import pytest
from tests.fakes.held_port import HeldPort


def _program(name: str) -> str:
    """Where a program of PostgreSQL lies: Debian keeps them off the PATH."""
    found = sorted(Path("/usr/lib/postgresql").glob(f"*/bin/{name}"))
    return str(found[-1]) if found else shutil.which(name) or pytest.fail(f"install {name}")


def _as_postgres(command: Sequence[str]) -> list[str]:
    """PostgreSQL refuses to run as root."""
    if os.geteuid() != 0:
        return list(command)
    return ["runuser", "-u", "postgres", "--", *command]


class Postgres:
    """A PostgreSQL server that can be killed and started again."""

    def __init__(self, folder: Path, port: int) -> None:
        self._folder, self.port = folder, port
        self._process: subprocess.Popen[bytes] | None = None
        self._run("initdb", "-D", str(folder / "data"), "-U", "penstock", "-A", "trust",
                  "--no-sync", "-E", "UTF8", "--locale", "C")  # fmt: skip

    def _run(self, name: str, *arguments: str) -> None:
        command = _as_postgres([_program(name), *arguments])
        subprocess.run(command, check=True, capture_output=True, cwd=self._folder)

    def start(self) -> None:
        command = [_program("postgres"), "-D", str(self._folder / "data"), "-p", str(self.port),
                   "-c", "listen_addresses=127.0.0.1",
                   "-c", f"unix_socket_directories={self._folder}",
                   "-c", "fsync=off", "-c", "max_connections=60"]  # fmt: skip
        self._process = subprocess.Popen(
            _as_postgres(command), cwd=self._folder, stderr=subprocess.DEVNULL
        )
        deadline = time.monotonic() + 60
        while not self._answers():
            assert time.monotonic() < deadline, "PostgreSQL did not start"
            time.sleep(0.05)

    def _answers(self) -> bool:
        command = [_program("pg_isready"), "-h", "127.0.0.1", "-p", str(self.port)]
        return subprocess.run(command, capture_output=True, check=False).returncode == 0

    def make(self, name: str) -> str:
        """Make a database; its URL."""
        self._run("createdb", "-h", "127.0.0.1", "-p", str(self.port), "-U", "penstock", name)
        return f"postgresql://penstock@127.0.0.1:{self.port}/{name}"

    def is_in_transaction(self, name: str) -> bool:
        """Whether a client of this database is in the middle of a transaction."""
        asked = (
            f"SELECT count(*) FROM pg_stat_activity WHERE datname = '{name}'"  # noqa: S608  ours
            " AND backend_type = 'client backend' AND xact_start IS NOT NULL"
        )
        command = [_program("psql"), "-h", "127.0.0.1", "-p", str(self.port), "-U", "penstock",
                   "-d", "postgres", "-tAc", asked]  # fmt: skip
        told = subprocess.run(
            _as_postgres(command), check=True, capture_output=True, cwd=self._folder
        )
        return int(told.stdout) > 0

    def secure(self, certificate: Path, password: str) -> None:
        """Take TLS with `certificate` (key and all) and this password alone, from now on."""
        data = self._folder / "data"
        own = data / "server.pem"
        own.write_bytes(certificate.read_bytes())
        own.chmod(0o600)
        if os.geteuid() == 0:
            user = pwd.getpwnam("postgres")
            os.chown(own, user.pw_uid, user.pw_gid)
        statements = (
            f"ALTER ROLE penstock PASSWORD '{password}'",
            "ALTER SYSTEM SET ssl = on",
            "ALTER SYSTEM SET ssl_cert_file = 'server.pem'",
            "ALTER SYSTEM SET ssl_key_file = 'server.pem'",
        )
        for statement in statements:
            self._run("psql", "-h", "127.0.0.1", "-p", str(self.port), "-U", "penstock",
                      "-d", "postgres", "-c", statement)  # fmt: skip
        rule = "hostssl all all 127.0.0.1/32 scram-sha-256\n"
        (data / "pg_hba.conf").write_text(rule, encoding="utf-8")
        self.kill()
        self.start()

    def kill(self) -> None:
        """End it as a lost machine would."""
        self._run("pg_ctl", "stop", "-D", str(self._folder / "data"), "-m", "immediate")
        if self._process is not None:
            self._process.wait(60)
            self._process = None

    def end(self) -> None:
        if self._process is not None:
            self.kill()


@contextmanager
def postgres() -> Iterator[Postgres]:
    """A running PostgreSQL, ended and removed afterwards."""
    with tempfile.TemporaryDirectory(prefix="pg-", dir="/tmp") as name:
        folder = Path(name)
        if os.geteuid() == 0:
            user = pwd.getpwnam("postgres")
            os.chown(folder, user.pw_uid, user.pw_gid)
        held = HeldPort()
        try:
            server = Postgres(folder, held.number)
            server.start()
            try:
                yield server
            finally:
                server.end()
        finally:
            held.close()
