import pytest
from pythonpack.hints import explain


@pytest.mark.parametrize(
    ("output", "hint"),
    [
        (
            "\xd7 No solution found\n╰─▶ Because nosuch was not found in the package\n    registry and you require nosuch",
            "nosuch is not on the package index",
        ),
        ("Because there is no version of flask==99 and you require flask==99", "no such version: flask==99"),
        ("ERROR: No matching distribution found for nosuch", "nosuch: no such package"),
        (
            "Because the current Python version (3.11.2) does not satisfy Python>=3.12",
            "does not work with Python 3.11",
        ),
        (
            "error: The lockfile at `uv.lock` needs to be updated, but `--locked` was provided.",
            "run `uv lock`",
        ),
        (
            "src/x.c:1:10: fatal error: libxml/xpath.h: No such file or directory",
            "libxml/xpath.h is a system library",
        ),
        ("src/x.c:1:10: fatal error: ffi.h: No such file or directory", "into an Aptfile"),
        ("Error: pg_config executable not found.", "write libpq-dev into an Aptfile"),
        ("Error: pg_config executable not found.", "psycopg2-binary"),
        ("/bin/sh: 1: mysql_config: not found", "default-libmysqlclient-dev into an Aptfile"),
        (
            "ImportError: libGL.so.1: cannot open shared object file: No such file or directory",
            "libGL.so.1 is a system library",
        ),
        ("error: command 'gcc' failed: No such file or directory", "has a wheel"),
        ("invalid peer certificate: UnknownIssuer", "build.ca_bundle"),
        ("HTTP status client error (401 Unauthorized)", "netrc or pip.conf"),
        ("something else", "words are above"),
    ],
)
def test_an_installers_failure_gets_a_hint(output: str, hint: str) -> None:
    assert hint in explain(output.splitlines(), "3.11.2")
