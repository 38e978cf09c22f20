"""Secrets in the ledger: what its file and its backups do not tell."""

import json
import stat
import threading
from pathlib import Path

import pytest
from sqlalchemy import create_engine

from gitreceive.config import Settings
from gitreceive.engines.sql_ledger import SqlLedger, open_ledger
from gitreceive.engines.sql_ledger.keyring import Keyring
from gitreceive.engines.sql_ledger.migrations import upgrade
from gitreceive.errors import ConfigError
from gitreceive.model import ConfigChange, Secret
from tests.engines.ledger.words import ANN, BLOG, SHOP, claimed, go_live, intend, opened

CANARY = "canary-1f0c"
CONFIG = {"A": Secret(CANARY), "sealed": Secret("no")}


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(data_dir=tmp_path)


@pytest.fixture
def ledger(settings: Settings) -> SqlLedger:
    """With a secret in every place where one is kept."""
    ledger = open_ledger(settings)
    for app in (SHOP, BLOG):
        ledger.create_app(app, ANN, "main")
    ledger.keep_config(BLOG, {}, CONFIG)
    go_live(ledger, config=CONFIG)
    ledger.enqueue(ConfigChange(SHOP, ANN, CONFIG))
    return ledger


def secrets(ledger: SqlLedger) -> list[object]:
    cause = ledger.jobs(SHOP)[0].cause
    assert isinstance(cause, ConfigChange)
    return [ledger.config(BLOG), ledger.release(SHOP, 1).config, cause.values]


def on_disk(folder: Path) -> bytes:
    return b"".join(file.read_bytes() for file in folder.glob("ledger.db*"))


def test_no_file_of_the_ledger_tells_a_value(ledger: SqlLedger, tmp_path: Path) -> None:
    assert secrets(ledger) == [CONFIG] * 3
    assert CANARY.encode() not in on_disk(tmp_path)
    ledger.close()
    assert CANARY.encode() not in on_disk(tmp_path)


def test_the_key_is_for_its_owner_only_and_made_once(
    ledger: SqlLedger, tmp_path: Path, settings: Settings
) -> None:
    key = tmp_path / "ledger.key"
    before = key.read_text()
    assert stat.S_IMODE(key.stat().st_mode) == 0o600
    ledger.close()
    again = open_ledger(settings)
    assert (key.read_text(), secrets(again)) == (before, [CONFIG] * 3)
    again.close()


def test_a_backup_is_useless_without_the_key(ledger: SqlLedger, tmp_path: Path, settings: Settings) -> None:
    ledger.close()
    (tmp_path / "ledger.key").unlink()
    restored = open_ledger(settings)
    assert not (tmp_path / "ledger.key").exists()
    with pytest.raises(ConfigError, match="key of the ledger cannot be read"):
        restored.config(BLOG)
    assert [check.name for check in restored.check() if not check.ok] == ["ledger key"]
    (tmp_path / "ledger.key").write_text("c2hvcCBhbmQgYmxvZywgYW5uIGFuZCBib2IsIGtlZXA=\n")
    with pytest.raises(ConfigError, match="sealed with a key that is not there"):
        restored.config(BLOG)
    restored.close()


def test_a_new_key_seals_all_and_the_old_one_opens_nothing_any_more(
    ledger: SqlLedger, tmp_path: Path, settings: Settings
) -> None:
    key = tmp_path / "ledger.key"
    old = key.read_text()
    assert ledger.rotate_key() == 2 + 1 + 2  # apps, releases, jobs
    assert (old not in key.read_text(), len(key.read_text().split())) == (True, 1)
    assert secrets(ledger) == [CONFIG] * 3
    ledger.close()
    key.write_text(old)
    stolen = open_ledger(settings)
    with pytest.raises(ConfigError, match="sealed with a key that is not there"):
        stolen.config(BLOG)
    stolen.close()


def test_a_server_that_runs_goes_on_while_the_key_changes(ledger: SqlLedger, settings: Settings) -> None:
    running, stop, faults = open_ledger(settings), threading.Event(), []

    def work() -> None:
        number = 0
        while not stop.is_set():
            number += 1
            before = running.config(BLOG)
            running.keep_config(BLOG, before, {"N": Secret(str(number))})
            if running.config(BLOG) != {"N": Secret(str(number))}:
                faults.append(number)

    worker = threading.Thread(target=work)
    worker.start()
    try:
        for _ in range(3):
            ledger.rotate_key()
    finally:
        stop.set()
        worker.join()
    assert not faults
    assert set(running.config(BLOG)) == {"N"}
    running.close()
    ledger.close()


def test_what_an_earlier_version_kept_in_the_clear_is_sealed_and_scrubbed(tmp_path: Path) -> None:
    plain = Settings(data_dir=tmp_path)
    ledger = open_ledger(plain)
    ledger.create_app(SHOP, ANN, "main")
    ledger.close()
    (tmp_path / "ledger.key").unlink()
    (tmp_path / "ledger.db").unlink()
    engine = create_engine(f"sqlite:///{tmp_path / 'ledger.db'}")
    with engine.begin() as connection:
        upgrade(connection, None, "0005")
        connection.exec_driver_sql(
            "INSERT INTO apps (name, owner, branch, created_at, config) "
            "VALUES ('blog', 'ann', 'main', '2026-01-02T03:04:05.000000+00:00', ?)",
            (json.dumps({name: value.reveal() for name, value in CONFIG.items()}),),
        )
    engine.dispose()
    assert CANARY.encode() in on_disk(tmp_path)
    upgraded = open_ledger(plain)
    assert upgraded.config(BLOG) == CONFIG
    assert CANARY.encode() not in on_disk(tmp_path)
    upgraded.close()


def test_keys_may_come_from_the_environment(tmp_path: Path) -> None:
    one, two = Keyring(tmp_path / "one"), Keyring(tmp_path / "two")
    for keyring in (one, two):
        keyring.make()
    first, second = (tmp_path / "one").read_text().strip(), (tmp_path / "two").read_text().strip()
    place = Settings(data_dir=tmp_path / "data", ledger_key=first)
    ledger = open_ledger(place)
    ledger.create_app(SHOP, ANN, "main")
    ledger.keep_config(SHOP, {}, CONFIG)
    with pytest.raises(ConfigError, match="come from the environment"):
        ledger.rotate_key()
    ledger.close()
    assert not (tmp_path / "data" / "ledger.key").exists()
    both = open_ledger(Settings(data_dir=tmp_path / "data", ledger_key=f"{second} {first}"))
    assert both.reseal() == 1
    both.close()
    newer = open_ledger(Settings(data_dir=tmp_path / "data", ledger_key=second))
    assert newer.config(SHOP) == CONFIG
    newer.close()


def test_what_is_no_key_is_told(tmp_path: Path) -> None:
    (tmp_path / "ledger.key").write_text("password\n")
    with pytest.raises(ConfigError, match="holds no key"):
        Keyring(tmp_path / "ledger.key").seal(b"x")
    (tmp_path / "ledger.key").write_text("\n")
    with pytest.raises(ConfigError, match="holds no key"):
        Keyring(tmp_path / "ledger.key").seal(b"x")


def test_a_job_that_has_ended_holds_no_value(url: str) -> None:
    ledger = opened(url)
    ledger.create_app(SHOP, ANN, "main")
    go_live(ledger)
    ledger.enqueue(ConfigChange(SHOP, ANN, CONFIG))
    job = claimed(ledger)
    intend(ledger, job, config=CONFIG)
    ledger.go_live(job.id, job.fence, {})
    cause = ledger.job(job.id).cause
    assert isinstance(cause, ConfigChange)
    assert cause.values == {"A": Secret(""), "sealed": Secret("")}
    ledger.close()
