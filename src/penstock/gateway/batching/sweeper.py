"""Forgets what is over: files at their end, and what killed gateways have left behind."""

import logging
import shutil
from pathlib import Path

from penstock.gateway.batching.kit import Kit
from penstock.ground.errors import StoreUnavailable
from penstock.registry.batches.contents import told
from penstock.registry.batches.records import ID
from penstock.registry.stores.files import FIRST, FileStore

_LEFT_S = 172_800.0
"""What was being made so long ago is nobody's any more."""
_PARTS_EVERY_S = 3600.0

log = logging.getLogger("penstock.gateway")


class Sweeper:
    """Each step does what it can, and raises `StoreUnavailable` for what it could not."""

    def __init__(self, kit: Kit, files: FileStore) -> None:
        self._kit, self._files = kit, files
        self._parts_again_s = 0.0

    async def forget_stale(self) -> None:
        """Forget the files whose time is over; one that cannot be removed keeps no other."""
        after, kept = FIRST, dict[str, str]()
        while stale := await self._files.stale(self._kit.wall(), after):
            after = stale[-1]
            for _, file_id in stale:
                if not await self._files.claim(file_id):
                    continue
                try:
                    remove = self._kit.contents.remove
                    await self._kit.threads.do(remove, f"files/{file_id}")
                except StoreUnavailable as error:
                    kept[file_id] = str(error)
                else:
                    await self._files.forget(file_id)
        _tell("files", kept)

    async def forget_parts(self) -> None:
        """Once an hour, remove the parts of batches that ended long ago.

        They are there where a gateway was killed right before it removed them, or found out too
        late that it was replaced, and where a batch has failed by a defect.
        """
        if self._kit.clock() < self._parts_again_s:
            return
        self._parts_again_s = self._kit.clock() + _PARTS_EVERY_S
        contents, kept = self._kit.contents, dict[str, str]()
        names = await self._kit.threads.do(contents.folders, "parts")
        known = [name for name in names if ID.fullmatch(name)]
        for batch_id in await self._kit.store.over(known, self._kit.wall() - _LEFT_S):
            try:
                await self._kit.threads.do(contents.clear, f"parts/{batch_id}")
            except StoreUnavailable as error:
                kept[batch_id] = str(error)
        _tell("parts of batches", kept)

    async def tidy(self) -> None:
        """Remove from this machine's folder what was being made there."""
        _tell("what was being made", await self._kit.threads.do(self._tidy))

    def _tidy(self) -> dict[str, str]:
        kept = dict[str, str]()
        with told():
            found = list(Path(self._kit.told.folder).glob("made-*"))
        for left in found:
            try:
                with told():
                    if left.stat().st_mtime < self._kit.wall() - _LEFT_S:
                        shutil.rmtree(left) if left.is_dir() else left.unlink()
            except StoreUnavailable as error:
                if left.exists():  # else another gateway on this folder was faster
                    kept[left.name] = str(error)
        return kept


def _tell(what: str, kept: dict[str, str]) -> None:
    if kept:
        name, why = min(kept.items())
        raise StoreUnavailable(f"{len(kept)} {what} cannot be removed", why=f"for {name}, {why}")
