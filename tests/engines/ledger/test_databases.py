"""What only databases can show."""

import multiprocessing
import sqlite3
import stat
import subprocess
import sys
from pathlib import Path

import pytest
from sqlalchemy import text

from gitreceive.config import Settings
from gitreceive.engines.sql_ledger import open_ledger
from gitreceive.engines.sql_ledger.migrations import scripts
from gitreceive.engines.sql_ledger.schema import REVISION, metadata
from gitreceive.errors import (
    ConfigError,
    NotFoundError,
    UnavailableError,
)
from gitreceive.model import (
    AppName,
    JobId,
    QueueLimits,
)
from tests.engines.ledger.words import ANN, SHOP, opened, push


def open_and_close(url: str) -> None:
    opened(url).close()


def test_processes_may_open_a_new_ledger_all_at_once(url: str) -> None:
    context = multiprocessing.get_context("spawn")
    processes = [context.Process(target=open_and_close, args=(url,)) for _ in range(4)]
    for process in processes:
        process.start()
    for process in processes:
        process.join(120)
    assert [process.exitcode for process in processes] == [0] * 4


def test_a_killed_process_loses_no_push_that_it_accepted(sqlite_url: str) -> None:
    ledger = opened(sqlite_url, QueueLimits(10**6, 10**6, 10**6))
    ledger.create_app(SHOP, ANN, "main")
    program = (
        "import sys; from tests.engines.ledger.words import opened\n"
        "from gitreceive.model import QueueLimits\n"
        "from tests.engines.ledger.words import push\n"
        "ledger = opened(sys.argv[1], QueueLimits(10**6, 10**6, 10**6))\n"
        "while True: sys.stdout.write(f'{ledger.enqueue(push()).id}\\n'); sys.stdout.flush()"
    )
    for _ in range(3):
        with subprocess.Popen(
            [sys.executable, "-c", program, sqlite_url], stdout=subprocess.PIPE, text=True
        ) as process:
            assert process.stdout
            told = [process.stdout.readline() for _ in range(50)]
            process.kill()
            told += process.stdout.readlines()
        for line in told:
            if line.endswith("\n"):
                assert ledger.job(JobId(int(line))).cause == push()
    assert ledger.enqueue(push()).id > 150
    ledger.close()


def test_the_migrations_make_the_tables_of_the_schema(url: str) -> None:
    from alembic.autogenerate import compare_metadata
    from alembic.migration import MigrationContext

    ledger = opened(url)
    with ledger._database.reading() as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": True})
        assert compare_metadata(context, metadata) == []
    ledger.close()


def test_the_schema_names_the_newest_migration() -> None:
    assert scripts().get_current_head() == REVISION


def test_a_ledger_keeps_what_it_was_told(url: str) -> None:
    first = opened(url)
    first.create_app(SHOP, ANN, "main")
    job = first.enqueue(push())
    first.close()
    second = opened(url)
    assert second.job(job.id) == job
    second.close()


def test_a_ledger_of_a_newer_gitreceive_is_left_alone(url: str) -> None:
    ledger = opened(url)
    with ledger._database.writing() as connection:
        connection.execute(text("UPDATE alembic_version SET version_num = '9999'"))
    with pytest.raises(ConfigError, match=r"newer gitreceive.*9999"):
        opened(url)
    (check, *_) = ledger.check()
    assert not check.ok
    ledger.close()


def test_the_ledger_lies_in_the_data_folder_and_is_for_its_owner_only(tmp_path: Path) -> None:
    ledger = open_ledger(Settings(data_dir=tmp_path / "deep" / "50% of it"))
    ledger.create_app(SHOP, ANN, "main")
    files = sorted((tmp_path / "deep" / "50% of it").iterdir())
    assert [file.name for file in files] == ["ledger.db", "ledger.db-shm", "ledger.db-wal", "ledger.key"]
    assert {stat.S_IMODE(file.stat().st_mode) for file in files} == {0o600}
    ledger.close()


def test_a_commit_waits_for_the_disk(sqlite_url: str) -> None:
    ledger = opened(sqlite_url)
    with ledger._database.reading() as connection:
        assert connection.execute(text("PRAGMA journal_mode")).scalar() == "wal"
        assert connection.execute(text("PRAGMA synchronous")).scalar() == 2  # FULL
        assert connection.execute(text("PRAGMA foreign_keys")).scalar() == 1
    ledger.close()


def test_what_failed_half_way_is_undone(url: str) -> None:
    ledger = opened(url)

    def fail_half_way() -> None:
        with ledger._database.writing() as connection:
            connection.execute(text("INSERT INTO users (name, admin) VALUES ('ann', true)"))
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail_half_way()
    with pytest.raises(NotFoundError):
        ledger.user(ANN)
    ledger.close()


def test_a_reader_does_not_wait_for_a_change(url: str) -> None:
    ledger = opened(url)
    with ledger._database.writing() as connection:
        connection.execute(text("INSERT INTO users (name, admin) VALUES ('ann', true)"))
        with pytest.raises(NotFoundError):
            ledger.user(ANN)
    assert ledger.user(ANN).admin
    ledger.close()


@pytest.mark.parametrize(
    "url", ["nonsense", "mysql://host/name", "sqlite://", "postgresql+nothing://host/name"]
)
def test_a_database_that_cannot_be_is_a_mistake_in_the_settings(url: str) -> None:
    with pytest.raises(ConfigError) as caught:
        opened(url)
    assert "postgresql+psycopg://" in caught.value.hint


def test_a_file_that_is_no_ledger_is_told_and_kept(tmp_path: Path) -> None:
    file = tmp_path / "ledger.db"
    file.write_text("my shopping list\n" * 100)
    with pytest.raises(UnavailableError, match=r"ledger\.db") as caught:
        opened(f"sqlite:///{file}")
    assert "move it away" in caught.value.hint
    assert file.read_text() == "my shopping list\n" * 100


def test_a_folder_that_cannot_be_made_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(UnavailableError, match=r"file/ledger\.db"):
        opened(f"sqlite:///{tmp_path / 'file' / 'ledger.db'}")


def test_a_full_disk_is_told_and_what_was_there_stays(sqlite_url: str) -> None:
    ledger = opened(sqlite_url)
    ledger.create_app(SHOP, ANN, "main")
    with ledger._database.reading() as connection:
        pages = connection.execute(text("PRAGMA page_count")).scalar_one()
        connection.execute(text(f"PRAGMA max_page_count = {pages}"))
    with pytest.raises(UnavailableError, match="full") as caught:
        ledger.add_key(ANN, "ssh-rsa", "A" * 100_000, "", "SHA256:one", admin=False)
    assert "space" in caught.value.hint
    assert ledger.app(SHOP).owner == ANN
    ledger.close()


def test_damage_is_found_by_the_checks(tmp_path: Path) -> None:
    file = tmp_path / "ledger.db"
    ledger = opened(f"sqlite:///{file}")
    for number in range(200):
        ledger.create_app(AppName(f"app-{number}"), ANN, "main")
    ledger.close()
    with sqlite3.connect(file) as connection:
        size = connection.execute("PRAGMA page_size").fetchone()[0]
        page = connection.execute("SELECT rootpage FROM sqlite_master WHERE name = 'apps'").fetchone()[0]
    connection.close()
    content = bytearray(file.read_bytes())
    content[(page - 1) * size : page * size] = b"\xaa" * size
    file.write_bytes(content)
    damaged = opened(f"sqlite:///{file}")
    checks = {check.name: check for check in damaged.check()}
    assert not checks["ledger integrity"].ok
    assert "backup" in checks["ledger integrity"].fix
    with pytest.raises(UnavailableError, match="malformed"):
        damaged.apps()
    damaged.close()


def test_opening_a_ledger_that_is_up_to_date_does_not_import_alembic(sqlite_url: str) -> None:
    opened(sqlite_url).close()
    program = (
        "import sys; from tests.engines.ledger.words import opened; "
        "opened(sys.argv[1]).close(); sys.exit('alembic' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", program, sqlite_url], check=False).returncode == 0
