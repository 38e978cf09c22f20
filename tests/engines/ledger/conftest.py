"""The ledgers under test: the fake, SQLite, and PostgreSQL.

That is a server of the tests' own, or the one at the URL in ``GITRECEIVE_TEST_POSTGRESQL``. The database's name must end in
``test``: it is emptied.
"""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import create_engine, text

from gitreceive.engines.sql_ledger.schema import metadata
from gitreceive.ports import Ledger
from tests.engines.ledger.postgresql import serving
from tests.engines.ledger.words import ANN, BLOG, BOB, SHOP, opened
from tests.fake_ledger import FakeLedger


@pytest.fixture
def sqlite_url(tmp_path: Path) -> str:
    return f"sqlite:///{tmp_path / 'ledger.db'}"


@pytest.fixture(scope="session")
def postgresql_server() -> Iterator[str]:
    if url := os.environ.get("GITRECEIVE_TEST_POSTGRESQL"):
        yield url
        return
    programs = os.environ.get("GITRECEIVE_TEST_POSTGRESQL_PROGRAMS")
    if not programs:
        pytest.skip("no PostgreSQL: scripts/test brings one")
    with serving(Path(programs)) as url:
        yield url


@pytest.fixture
def postgresql_url(postgresql_server: str) -> str:
    """Emptied."""
    engine = create_engine(postgresql_server)
    assert str(engine.url.database).endswith("test"), "its name must end in test: it is emptied"
    with engine.begin() as connection:
        metadata.drop_all(connection)
        connection.execute(text("DROP TABLE IF EXISTS alembic_version"))
    engine.dispose()
    return postgresql_server


@pytest.fixture(params=["sqlite", "postgresql"])
def url(request: pytest.FixtureRequest) -> str:
    found: str = request.getfixturevalue(f"{request.param}_url")
    return found


@pytest.fixture(params=["fake", "sqlite", "postgresql"])
def empty(request: pytest.FixtureRequest) -> Iterator[Ledger]:
    if request.param == "fake":
        yield FakeLedger()
        return
    ledger = opened(request.getfixturevalue(f"{request.param}_url"))
    yield ledger
    ledger.close()


@pytest.fixture
def ledger(empty: Ledger) -> Ledger:
    empty.create_app(SHOP, ANN, "main")
    empty.create_app(BLOG, BOB, "main")
    return empty
