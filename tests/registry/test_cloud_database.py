"""The database as a gateway in AWS is told of it: a password in a variable, verified TLS alone."""

from pathlib import Path

import pytest
from tests.fakes.authority import Authority
from tests.fakes.databases import postgres

from penstock.ground.errors import StoreUnavailable
from penstock.registry.stores.database import Database
from penstock.targets.front.state import DATABASE_PORT, database_url

PASSWORD = "MadeBySecretsManager0123456789"


async def opened(url: str) -> None:
    database = Database(url)
    try:
        await database.create()
    finally:
        await database.close()


async def test_the_driver_takes_password_and_certificate_from_its_variables(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    authority, stranger = Authority(tmp_path), tmp_path / "stranger"
    authority.server("localhost")
    stranger.mkdir()
    with postgres() as server:
        server.make("penstock")
        server.secure(tmp_path / "localhost.pem", PASSWORD)
        _, *pieces = database_url("localhost").data["Fn::Join"][1]
        url = "postgresql://penstock@" + "".join(pieces)
        url = url.replace(f":{DATABASE_PORT}/", f":{server.port}/")
        monkeypatch.setenv("PGPASSWORD", PASSWORD)
        monkeypatch.setenv("PGSSLMODE", "verify-full")
        monkeypatch.setenv("PGSSLROOTCERT", str(authority.file))
        await opened(url)
        monkeypatch.setenv("PGSSLROOTCERT", str(Authority(stranger).file))
        with pytest.raises(StoreUnavailable):
            await opened(url)
