"""What runs by the clock: how schedules are read, and what the server's own clock does with them."""

import json
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gitreceive.background.cron import KEPT_RUNS, Clock, last_due, next_due
from gitreceive.errors import RolloutError, UsageError
from gitreceive.model import (
    AppName,
    AppSettings,
    CronEntry,
    CronRun,
    CronTask,
    EventQuery,
    Schedule,
    SettingsChange,
    UserName,
    all_entries,
    five_fields,
    parse_schedule,
)
from gitreceive.voice import Voice
from tests.platform import SHOP, World

NOON = datetime(2026, 3, 4, 12, 0, 0, 500_000, tzinfo=UTC)  # a Wednesday
_ENTRIES = st.builds(
    CronEntry,
    st.sampled_from(["clean", "a-1", "0"]),
    st.sampled_from(["@daily", "*/5 * * * *", "0 3 * * 1-5"]),
    st.text("abc $'\"", min_size=1).filter(str.strip),
    st.sampled_from(["allow", "forbid", "replace"]),
    st.integers(1, 7 * 24 * 3600),
)


# --- schedules and entries ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("schedule", "expected"),
    [
        ("@daily", "0 0 * * *"),
        ("@hourly", "0 * * * *"),
        ("@weekly", "0 0 * * 0"),
        ("0 3 * * 7", "0 3 * * 0"),
        ("0 3 * * 5-7", "0 3 * * 0,5,6"),
        ("0 3 * * mon-fri", "0 3 * * 1,2,3,4,5"),
        ("0 3 * * SUN", "0 3 * * 0"),
        ("0 3 * * 1/2", "0 3 * * 1,3,5"),
        ("0 3 * * */2", "0 3 * * */2"),
        ("*/5 1-4,8 1 jan *", "*/5 1-4,8 1 jan *"),
        ("5/20 8-8/2,9 1-9/4 * *", "5,25,45 8,9 1,5,9 * *"),
        ("0 0 * * 7/2", "0 0 * * 0"),
    ],
)
def test_a_schedule_is_written_as_every_clock_reads_it(schedule: str, expected: str) -> None:
    assert five_fields(parse_schedule(schedule)) == expected


@pytest.mark.parametrize(
    ("schedule", "after", "expected"),
    [
        ("*/5 * * * *", NOON, NOON + timedelta(minutes=5)),
        ("0 12 * * *", NOON, NOON + timedelta(days=1)),
        ("0 3 * * 7", NOON, datetime(2026, 3, 8, 3, tzinfo=UTC)),
        ("0 0 29 2 *", NOON, datetime(2028, 2, 29, tzinfo=UTC)),
        ("@monthly", NOON, datetime(2026, 4, 1, tzinfo=UTC)),
    ],
)
def test_the_next_time_is_in_utc(schedule: str, after: datetime, expected: datetime) -> None:
    assert next_due(schedule, after) == expected.replace(microsecond=0)


def _part(least: int, most: int) -> st.SearchStrategy[tuple[str, set[int]]]:
    """A part of a field, and what it stands for, counted out here in the plainest way."""

    def one(first: int, last: int, step: int, shape: str) -> tuple[str, set[int]]:
        first, last = sorted((first, last))
        return {
            "*": ("*", set(range(least, most + 1))),
            "*/": (f"*/{step}", set(range(least, most + 1, step))),
            "n": (str(first), {first}),
            "n-": (f"{first}-{last}", set(range(first, last + 1))),
            "n-/": (f"{first}-{last}/{step}", set(range(first, last + 1, step))),
            "n/": (f"{first}/{step}", set(range(first, most + 1, step))),
        }[shape]

    numbers = st.integers(least, most)
    shapes = st.sampled_from(["*", "*/", "n", "n-", "n-/", "n/"])
    return st.builds(one, numbers, numbers, st.integers(1, 59), shapes)


def _field(least: int, most: int) -> st.SearchStrategy[tuple[str, set[int]]]:
    parts = st.lists(_part(least, most), min_size=1, max_size=3)
    return parts.map(lambda each: (",".join(text for text, _ in each), set().union(*(v for _, v in each))))


@given(_field(0, 59), _field(0, 23), _field(1, 12), _part(0, 7), st.integers(0, 400))
def test_any_schedule_comes_at_the_times_that_its_fields_count_out(
    minute: tuple[str, set[int]],
    hour: tuple[str, set[int]],
    month: tuple[str, set[int]],
    weekday: tuple[str, set[int]],
    days: int,
) -> None:
    schedule = parse_schedule(f"{minute[0]} {hour[0]} * {month[0]} {weekday[0]}")
    began = NOON + timedelta(days=days)
    due = next_due(schedule, began)
    assert due is not None
    assert due > began
    weekdays = {day % 7 for day in weekday[1]}
    assert (due.minute in minute[1], due.hour in hour[1], due.month in month[1]) == (True, True, True)
    assert due.isoweekday() % 7 in weekdays
    assert last_due(schedule, began, due) == due
    assert last_due(schedule, began, due - timedelta(seconds=1)) is None


def test_a_day_that_there_is_not_never_comes() -> None:
    assert next_due("0 0 30 2 *", NOON) is None
    assert last_due("0 0 31 4,6 *", NOON - timedelta(days=999), NOON) is None


def test_the_last_time_counts_up_to_now_and_not_what_was_seen() -> None:
    sharp = NOON.replace(microsecond=0)
    assert last_due("* * * * *", sharp - timedelta(hours=1), sharp) == sharp
    assert last_due("* * * * *", sharp - timedelta(hours=1), NOON) == sharp
    assert last_due("* * * * *", sharp, NOON) is None
    assert last_due("0 3 * * *", sharp - timedelta(hours=1), NOON) is None


@given(st.dictionaries(st.sampled_from(["a", "b"]), _ENTRIES))
def test_entries_are_read_as_they_were_written(found: dict[str, CronEntry]) -> None:
    entries = {entry.name: entry for entry in found.values()}
    settings = AppSettings(schedule=Schedule(entries))
    assert AppSettings.parse(json.loads(json.dumps(settings.document()))) == settings


@pytest.mark.parametrize(
    ("name", "changes", "said"),
    [
        ("Clean", {}, "'Clean' cannot name what runs by the clock"),
        ("-a", {}, "cannot name"),
        ("a" * 41, {}, "cannot name"),
        ("a", {"schedule": "0 25 * * *"}, "'25' is outside of what the hour can be"),
        ("a", {"schedule": None}, "cron a: schedule must be text"),
        ("a", {"schedule": "@reboot"}, "'@reboot' is not a schedule"),
        ("a", {"command": " "}, "there is no command"),
        ("a", {"command": "x\0y"}, "there is no command"),
        ("a", {"command": "x" * 4001}, "at most 4000"),
        ("a", {"concurrency": "never"}, "'never' is no concurrency"),
        ("a", {"seconds": 0}, "cron a: seconds must be a number"),
        ("a", {"user": "root"}, "cron a has no 'user'"),
    ],
)
def test_what_cannot_be_an_entry_is_refused_by_name(name: str, changes: dict[str, Any], said: str) -> None:
    document = {"schedule": "@daily", "command": "true", **changes}
    with pytest.raises(UsageError, match=said):
        AppSettings.parse({"schedule": {"cron": {name: document}}})


def test_an_app_has_a_bounded_number_of_entries() -> None:
    one = {"schedule": "@daily", "command": "true"}
    with pytest.raises(UsageError, match="at most 100 entries"):
        Schedule.parse({"cron": {f"n{n}": one for n in range(101)}})


def test_what_is_declared_is_named_by_its_command_and_what_is_set_comes_before_it() -> None:
    declared = [
        CronTask("@daily", "python clean.py"),
        CronTask("@hourly", "python clean.py", "forbid"),
        CronTask("@daily", "$(…)"),
        CronTask("@daily", "x " * 100),
    ]
    mine = CronEntry("python-clean-py-2", "@weekly", "true")
    entries = {entry.name: entry for entry in all_entries(declared, Schedule({mine.name: mine}))}
    assert set(entries) == {"python-clean-py", "python-clean-py-2", "task", "x-" * 17 + "x"}
    assert entries["python-clean-py-2"] == mine
    first = entries["python-clean-py"]
    assert (first.schedule, first.concurrency, first.declared) == ("@daily", "allow", True)


@given(st.lists(st.text(max_size=60)))
def test_any_commands_get_names_that_entries_can_have(commands: list[str]) -> None:
    entries = all_entries([CronTask("@daily", command) for command in commands], Schedule())
    assert len(entries) == len(commands)
    for entry in entries:
        CronEntry.parse_name(entry.name)


# --- the clock ------------------------------------------------------------------------------------------------------


@dataclass
class Clockwork:
    """An app that is live, and a server's clock, at a time that the test sets."""

    folder: Path
    world: World = field(default_factory=World)
    now: datetime = NOON

    def __post_init__(self) -> None:
        self.world.deploy(self.world.commit("one"))
        self.start()

    def start(self) -> None:
        """As a server that has just come up."""
        self.clock = Clock(self.folder, self.world.ledger, self.world.target, Voice(lambda _chunk: None))
        self.clock.tick(self.now)

    def set(self, name: str, schedule: str = "* * * * *", **more: Any) -> None:
        document = {"schedule": schedule, "command": f"{name} it", **more}
        self.change({"schedule": {"cron": {name: document}}})

    def change(self, patch: dict[str, Any]) -> None:
        assert self.world.ask(SettingsChange(SHOP, UserName("ada"), "a change", patch)).state == "live"

    def later(self, *, minutes: int) -> list[str]:
        """The runs that began in the meantime, by name and time, with a look at each minute."""
        before = len(self.world.target.asked)
        for _ in range(minutes):
            self.now += timedelta(minutes=1)
            self.clock.tick(self.now)
        return self.names()[before:]

    def names(self) -> list[str]:
        return [_shown(asked.name) for _, asked in self.world.target.asked]

    @property
    def runs(self) -> list[CronRun]:
        return self.world.target.by_clock.get(SHOP, [])

    def end(self) -> None:
        """All that runs ends."""
        self.runs[:] = [run if run.over else replace(run, state="ended", exit_code=0) for run in self.runs]

    def missed(self) -> list[str]:
        events = self.world.ledger.events(EventQuery())
        return [f"{e.happening.what}: {e.happening.reason}" for e in events if e.happening.verb == "cron"]


def _shown(name: str) -> str:
    entry, _, minutes = name.rpartition("-")
    return f"{entry} {datetime.fromtimestamp(int(minutes) * 60, UTC):%H:%M}"


@pytest.fixture
def clockwork(tmp_path: Path) -> Clockwork:
    return Clockwork(tmp_path)


def test_what_is_due_is_run_with_the_release_that_is_live(clockwork: Clockwork) -> None:
    clockwork.set("clean", "*/2 * * * *", seconds=60)
    assert clockwork.later(minutes=1) == []
    assert clockwork.later(minutes=1) == ["clean 12:02"]
    release, asked = clockwork.world.target.asked[0]
    assert (release.number, asked.entry, asked.line, asked.seconds) == (1, "clean", "clean it", 60)
    assert asked.command == ("/bin/sh", "-c", "clean it")  # what is built here is as a Dockerfile's
    clockwork.end()
    clockwork.world.deploy(clockwork.world.commit("two", clockwork.world.head))
    assert clockwork.later(minutes=2) == ["clean 12:04"]
    assert clockwork.world.target.asked[1][0].number == 2


def test_an_entry_that_was_just_set_is_not_run_for_a_time_before_it(clockwork: Clockwork) -> None:
    clockwork.set("clean", "0 12 * * *")
    assert clockwork.later(minutes=5) == []


def test_an_entry_is_run_in_the_very_first_minute_behind_it(clockwork: Clockwork) -> None:
    clockwork.set("clean")
    assert clockwork.later(minutes=1) == ["clean 12:01"]


def test_within_a_minute_nobody_is_asked_twice(clockwork: Clockwork) -> None:
    clockwork.set("clean", concurrency="allow")
    clockwork.later(minutes=1)
    for _ in range(50):
        clockwork.now += timedelta(seconds=1)
        clockwork.clock.tick(clockwork.now)
    assert clockwork.names() == ["clean 12:01"]


def test_what_is_declared_is_run_too(clockwork: Clockwork) -> None:
    text = json.dumps({"cron": [{"schedule": "* * * * *", "command": "python clean.py"}]})
    clockwork.world.deploy(clockwork.world.commit_files({"app.json": text}, clockwork.world.head))
    assert clockwork.later(minutes=1) == ["python-clean-py 12:01"]


def test_forbid_waits_for_the_earlier_run_and_then_makes_up_for_one_alone(clockwork: Clockwork) -> None:
    clockwork.set("clean")
    assert clockwork.later(minutes=4) == ["clean 12:01"]
    clockwork.end()
    assert clockwork.later(minutes=1) == ["clean 12:05"]


def test_what_forbid_kept_from_running_is_noted_when_it_is_too_late(clockwork: Clockwork) -> None:
    clockwork.set("clean", "2,3 * * * *")
    assert clockwork.later(minutes=12) == ["clean 12:02"]
    assert clockwork.missed() == []
    assert clockwork.later(minutes=5) == []
    assert clockwork.missed() == ["clean, due 2026-03-04 12:03 UTC: an earlier run had not ended"]


def test_allow_runs_beside_it_and_replace_ends_it(clockwork: Clockwork) -> None:
    clockwork.set("clean", concurrency="allow")
    assert clockwork.later(minutes=2) == ["clean 12:01", "clean 12:02"]
    assert clockwork.world.target.calls[-1:] == ["roll out v1"]
    clockwork.set("clean", concurrency="replace")
    first, second = (run.name for run in clockwork.runs)
    assert clockwork.later(minutes=1) == ["clean 12:03"]
    assert clockwork.world.target.calls[-2:] == [f"end {first}", f"end {second}"]


def test_after_a_restart_a_missed_run_is_made_up_for_once(clockwork: Clockwork) -> None:
    clockwork.set("clean", "*/2 * * * *")
    clockwork.later(minutes=2)
    clockwork.end()
    clockwork.now += timedelta(minutes=7)
    clockwork.start()
    assert clockwork.names() == ["clean 12:02", "clean 12:08"]
    clockwork.start()
    assert clockwork.names() == ["clean 12:02", "clean 12:08"]
    assert clockwork.missed() == []


def test_after_a_restart_what_is_too_late_is_noted_and_left(clockwork: Clockwork) -> None:
    clockwork.set("clean", "1 12,13 * * *")
    clockwork.later(minutes=1)
    clockwork.end()
    clockwork.now = NOON + timedelta(hours=1, minutes=30)
    clockwork.start()
    assert clockwork.names() == ["clean 12:01"]
    assert clockwork.missed() == ["clean, due 2026-03-04 13:01 UTC: nobody was there to start it"]
    clockwork.start()
    assert len(clockwork.missed()) == 1


def test_a_server_that_was_killed_between_start_and_note_starts_nothing_twice(clockwork: Clockwork) -> None:
    clockwork.set("clean", concurrency="allow")
    clockwork.later(minutes=1)
    path = clockwork.folder / "cron" / "shop.json"
    marks = json.loads(path.read_text())
    marks["clean"]["seen"] = NOON.isoformat()
    path.write_text(json.dumps(marks))
    clockwork.start()
    assert clockwork.names() == ["clean 12:01"]


def test_what_a_killed_server_had_half_made_is_made_anew(clockwork: Clockwork) -> None:
    clockwork.set("clean", "5 * * * *")
    clockwork.later(minutes=4)
    half = f"clean-{int((NOON + timedelta(minutes=5)).timestamp()) // 60}"
    clockwork.world.target.by_clock[SHOP] = [CronRun("clean", half, 1, "starting", NOON)]
    assert clockwork.later(minutes=1) == ["clean 12:05"]
    assert f"remove {half}" in clockwork.world.target.calls


def test_nothing_of_a_stopped_app_is_run_nor_made_up_for(clockwork: Clockwork) -> None:
    clockwork.set("clean")
    clockwork.later(minutes=1)
    clockwork.end()
    clockwork.change({"formation": {"stopped": True}})
    assert clockwork.later(minutes=3) == []
    clockwork.change({"formation": {"stopped": False}})
    assert len(clockwork.runs) == 1
    assert clockwork.later(minutes=1) == ["clean 12:05"]
    assert clockwork.missed() == []


def test_another_schedule_begins_anew(clockwork: Clockwork) -> None:
    clockwork.set("clean", "1 * * * *")
    clockwork.later(minutes=5)
    clockwork.end()
    clockwork.set("clean", "3 * * * *")
    assert clockwork.later(minutes=1) == []


def test_a_run_whose_time_is_up_is_ended(clockwork: Clockwork) -> None:
    clockwork.set("clean", "1 * * * *", seconds=120)
    clockwork.later(minutes=1)
    name = clockwork.runs[0].name
    clockwork.runs[0] = replace(clockwork.runs[0], started=clockwork.now)
    clockwork.later(minutes=2)
    assert f"end {name}" not in clockwork.world.target.calls
    clockwork.later(minutes=1)
    assert f"end {name}" in clockwork.world.target.calls


def test_the_newest_runs_of_each_entry_are_kept(clockwork: Clockwork) -> None:
    clockwork.set("clean")
    for _ in range(KEPT_RUNS + 5):
        clockwork.later(minutes=1)
        clockwork.end()
    clockwork.later(minutes=1)
    clockwork.end()
    shown = [_shown(run.name) for run in clockwork.runs]
    assert (shown[0], shown[-1], len(shown)) == ("clean 12:06", "clean 12:16", KEPT_RUNS + 1)


def test_the_runs_of_an_entry_that_is_gone_go(clockwork: Clockwork) -> None:
    clockwork.set("clean")
    clockwork.later(minutes=1)
    clockwork.change({"schedule": {"cron": {"clean": None}}})
    assert clockwork.later(minutes=1) == []
    assert clockwork.runs == []
    assert json.loads((clockwork.folder / "cron" / "shop.json").read_text()) == {}


def test_what_cannot_start_is_tried_again_and_keeps_no_other_from_starting(
    clockwork: Clockwork, caplog: pytest.LogCaptureFixture
) -> None:
    clockwork.set("clean", "1 * * * *")
    clockwork.set("dust", "3 * * * *")
    clockwork.world.target.run_failure = RolloutError("no room")
    clockwork.later(minutes=2)
    assert "cron clean of shop: no room" in caplog.text
    clockwork.world.target.run_failure = None
    clockwork.world.target.asked.clear()
    assert clockwork.later(minutes=1) == ["clean 12:01", "dust 12:03"]


def test_a_file_that_cannot_be_read_is_told_and_begun_anew(
    clockwork: Clockwork, caplog: pytest.LogCaptureFixture
) -> None:
    clockwork.set("clean")
    clockwork.later(minutes=1)
    clockwork.end()
    (clockwork.folder / "cron" / "shop.json").write_text("[1")
    assert clockwork.later(minutes=1) == ["clean 12:02"]
    assert "shop.json cannot be read" in caplog.text


def test_of_an_app_that_is_gone_nothing_stays(clockwork: Clockwork, tmp_path: Path) -> None:
    clockwork.set("clean")
    clockwork.later(minutes=1)
    (tmp_path / "cron" / "gone.json").write_text("{}")
    there = clockwork.world.target.by_clock
    there[AppName("gone")] = [CronRun("clean", "clean-1", 1, "up", NOON)]
    clockwork.later(minutes=1)
    assert there[AppName("gone")] == []
    assert [path.name for path in (tmp_path / "cron").iterdir()] == ["shop.json"]
