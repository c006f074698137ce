"""What the stand-in knows of images: the command that a build's Dockerfile gives them."""

import json
import threading
from collections.abc import Mapping
from dataclasses import dataclass, field

from penstock.rehearsal.refusals import AwsError

GATEWAY = ("python", "-m", "penstock.cli.gateway")
"""The gateway image's entry point, for an image of the user's own that cannot be looked into."""


@dataclass(frozen=True, slots=True)
class ImageConfig:
    """What a Dockerfile's last stage says of how its image is run."""

    entry_point: tuple[str, ...] = ()
    command: tuple[str, ...] = ()
    env: Mapping[str, str] = field(default_factory=dict)


class Images:
    """The images that rehearsed builds have pushed, by `repository-uri:tag`."""

    def __init__(self) -> None:
        self._known: dict[str, ImageConfig] = {}
        self._lock = threading.Lock()

    def push(self, uri: str, config: ImageConfig) -> None:
        """Remember an image."""
        with self._lock:
            self._known[uri] = config

    def words(self, uri: str, entry_point: list[str], command: list[str]) -> list[str]:
        """Return what is run: the image's own words, where the container gives none."""
        with self._lock:
            config = self._known.get(uri)
        if config is None:
            guessed = list(GATEWAY) if command[:1] == ["--settings"] else []
            return [*(entry_point or guessed), *command]
        own = [] if entry_point else list(config.command)
        return [*(entry_point or config.entry_point), *(command or own)]


def read_dockerfile(text: str) -> ImageConfig:
    """Return what the last stage says; raises AwsError for a Dockerfile that cannot be built."""
    entry_point: tuple[str, ...] = ()
    command: tuple[str, ...] = ()
    begun = False
    for line in _lines(text):
        word, _, rest = line.partition(" ")
        if word.upper() == "FROM":
            begun, entry_point, command = True, (), ()
        elif word.upper() != "ARG" and not begun:
            raise AwsError("BuildFailed", "dockerfile: no build stage in current context")
        elif word.upper() == "ENTRYPOINT":
            entry_point = _words(rest)
        elif word.upper() == "CMD":
            command = _words(rest)
    if not begun:
        raise AwsError("BuildFailed", "dockerfile: the Dockerfile has no FROM")
    return ImageConfig(entry_point, command)


def copied(text: str) -> list[str]:
    """Return the patterns of the files that the Dockerfile copies out of its folder."""
    found = []
    for line in _lines(text):
        words = line.split()
        if words[0].upper() not in {"COPY", "ADD"} or "--from" in line:
            continue
        names = [each for each in words[1:] if not each.startswith("--")]
        found += [each for each in names[:-1] if "://" not in each]
    return found


def _lines(text: str) -> list[str]:
    joined = text.replace("\\\n", " ")
    lines = (each.strip() for each in joined.splitlines())
    return [each for each in lines if each and not each.startswith("#")]


def _words(text: str) -> tuple[str, ...]:
    if text.lstrip().startswith("["):
        return tuple(json.loads(text))
    return ("/bin/sh", "-c", text.strip())
