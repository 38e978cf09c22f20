"""A ledger that an earlier version wrote is read by this one."""

from sqlalchemy import create_engine

from gitreceive.engines.sql_ledger.migrations import upgrade
from gitreceive.model import CommitId, JobId, JobState, Push
from tests.engines.ledger.words import IMAGE, LONG, SHOP, claimed, intend, opened, rebase, stack

_THEN = "2026-01-02T03:04:05.000000+00:00"
_JOB = f"'shop', 'ann', 'refs/heads/main', '{'0' * 40}', '{'a' * 40}'"
_IMAGE = f'{{"ref": "{IMAGE.ref}", "processes": [], "port": null, "buildpacks": [], "size": 1}}'
_OF_0001 = (
    f"INSERT INTO apps VALUES ('shop', 'ann', 'main', '{_THEN}')",
    (
        'INSERT INTO jobs (id, app, "user", ref, old, new, options, state, created_at, ended_at, fence, reason, seconds) '
        f"""VALUES (41, {_JOB}, '{{"nocache": true, "buildpack": null}}', 'live', '{_THEN}', '{_THEN}', 1, '', '{{}}')"""
    ),
    (
        'INSERT INTO jobs (id, app, "user", ref, old, new, options, state, created_at, started_at, fence, holder, lease_until, reason, seconds) '
        f"""VALUES (42, {_JOB}, '{{"nocache": false, "buildpack": null}}', 'building', '{_THEN}', '{_THEN}', 1, """
        f"""'host:7:1', '2999-01-01T00:00:00.000000+00:00', '', '{{}}')"""
    ),
    (
        'INSERT INTO releases (id, app, number, job, image, "commit", config, scale, "user", description, created_at, live_at) '
        f"VALUES (1, 'shop', 1, 41, '{_IMAGE}', '{'a' * 40}', '{{}}', '{{}}', 'ann', 'Deploy', '{_THEN}', '{_THEN}')"
    ),
    (
        f"INSERT INTO stacks VALUES ('bookworm', 'r/build@{IMAGE.ref.digest}', 'r/run@{IMAGE.ref.digest}', 2, 1, "
        f"""'{{"run": ["libc6=2.36"]}}', '{_THEN}')"""
    ),
)


def _write_old(url: str) -> None:
    engine = create_engine(url)
    with engine.begin() as connection:
        upgrade(connection, None, "0001")
        for line in _OF_0001:
            connection.exec_driver_sql(line)
        for table in ("jobs", "releases") if engine.dialect.name == "postgresql" else ():
            # there a sequence does not follow an id that was given
            connection.exec_driver_sql(f"SELECT setval(pg_get_serial_sequence('{table}', 'id'), 1000)")
    engine.dispose()


def test_apps_jobs_releases_and_stacks_of_the_first_schema_are_kept(url: str) -> None:
    _write_old(url)
    ledger = opened(url)
    old = ledger.job(JobId(41))
    assert isinstance(old.cause, Push)
    assert (old.cause.new, old.cause.options.nocache, old.release) == (CommitId("a" * 40), True, 1)
    (release,) = ledger.releases(SHOP)
    assert (release.number, release.image.ref) == (1, IMAGE.ref)
    assert ledger.app(SHOP).buildpacks == ()
    assert ledger.config(SHOP) == {}
    kept = ledger.stack("bookworm")
    assert kept
    assert (kept.version, kept.recipe, kept.packages) == (1, None, {"run": ("libc6=2.36",)})
    assert ledger.put_stack(stack()).version == 2
    if "sqlite" in url:  # elsewhere the sequence does not follow an id that was given
        assert ledger.enqueue(rebase()).id > old.id
        ledger.hand_over("host:7:1")
        unfinished = claimed(ledger)
        ledger.end(unfinished.id, unfinished.fence, JobState.FAILED, "broken", {})
        job = claimed(ledger)
        assert (job.cause, intend(ledger, job).number) == (rebase(), 2)
    ledger.close()


def test_a_build_that_was_under_way_goes_on_at_once_under_the_newest_schema(url: str) -> None:
    _write_old(url)
    ledger = opened(url)
    assert ledger.claim("server-1", LONG) is None
    assert ledger.hand_over("host:7:1") == (JobId(42),)
    job = claimed(ledger)
    assert (job.id, job.state, job.fence > 1) == (JobId(42), JobState.BUILDING, True)
    assert intend(ledger, job).number == 2
    assert ledger.go_live(job.id, job.fence, {}).number == 2
    ledger.close()
