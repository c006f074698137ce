"""Docker on this machine, as far as images for AWS are built by it.

Only where it builds for x86 without emulating it: elsewhere CodeBuild is faster, and always there.
"""

import io
import shutil
import subprocess
import tempfile
import zipfile
from dataclasses import dataclass
from typing import Self

from penstock.ground.errors import CloudError
from penstock.plan.carrying_out import Tell

PLATFORM, NATIVE = "linux/amd64", ("x86_64", "amd64")
LOOK_S = 10.0
LAST_LINES = 15


@dataclass(frozen=True, slots=True)
class Login:
    """What opens a registry."""

    registry: str
    user: str
    password: str

    def __repr__(self) -> str:
        return f"Login({self.registry})"


@dataclass(frozen=True, slots=True)
class Docker:
    """The program `docker`, and a daemon that it reaches."""

    program: str

    @classmethod
    def find(cls) -> Self | None:
        """Docker, where it runs here and its machine is one of x86."""
        program = shutil.which("docker")
        if program is None:
            return None
        asked = [program, "info", "--format", "{{.Architecture}}"]
        try:
            told = subprocess.run(
                asked, capture_output=True, text=True, timeout=LOOK_S, check=False
            )
        except (OSError, subprocess.TimeoutExpired):
            return None
        native = told.returncode == 0 and told.stdout.strip() in NATIVE
        return cls(program) if native else None

    def make(self, source: bytes, image: str, login: Login, tell: Tell) -> None:
        """Build `image` from a zip with a Dockerfile at its root, and push it.

        Raises:
            CloudError: one of the steps failed; with its last lines.
        """
        with tempfile.TemporaryDirectory(prefix="penstock-image-") as folder:
            with zipfile.ZipFile(io.BytesIO(source)) as packed:
                packed.extractall(folder)
            self._run(
                ["login", "--username", login.user, "--password-stdin", login.registry],
                tell,
                given=login.password,
            )
            built = ["build", "--pull", "--platform", PLATFORM, "--tag", image, folder]
            self._run(built, tell)
        self._run(["push", image], tell)

    def _run(self, arguments: list[str], tell: Tell, given: str = "") -> None:
        tell(f"docker {arguments[0]}")
        done = subprocess.run(
            [self.program, *arguments],
            input=given,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
        )
        if done.returncode:
            last = done.stdout.splitlines()[-LAST_LINES:]
            written = "".join(f"\n    | {line.rstrip()}" for line in last)
            raise CloudError(
                f"docker {arguments[0]} failed",
                why=f"it ended with {done.returncode}\n  Its last lines:{written}\n ",
                fix="Mend what it names and deploy again, or let AWS build: --codebuild",
            )
