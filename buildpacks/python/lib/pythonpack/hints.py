"""What an installer's failure means, and what to do about it."""

import re
from collections.abc import Sequence

# what is read in the installer's output, and the hint that it calls for; {0} is what the first group matched
_HINTS = (
    (
        r"(?:No matching distribution found for|Could not find a version that satisfies the requirement) (\S+)",
        "{0}: no such package, or no such version for this Python, on the index; check its spelling and version",
    ),
    (
        r"Because (?:only )?(\S+?)(?:==\S+)? (?:was not found in the package registry|is not available)",
        "{0} is not on the package index: check its spelling, or have the operator set the index that has it",
    ),
    (
        r"Because there is no version of (\S+)",
        "there is no such version: {0}; leave the version away or choose another",
    ),
    (
        r"[Bb]ecause only (?:the following versions of )?(\S+?)\s?(?:<|=|>|are|is)",
        "choose a version of {0} that there is",
    ),
    (
        r"(?:current|running) Python(?: version)? .*(?:does not satisfy|not compatible)|requires a different Python|Requires-Python",
        "a package does not work with Python {python}: choose another version of it, or another Python in .python-version",
    ),
    (
        r"needs to be updated|lockfile .*outdated",
        "uv.lock does not fit pyproject.toml: run `uv lock` and commit uv.lock",
    ),
    (
        r"No file/folder found for package (\S+)|does not appear to be a Python project|Unable to determine which files",
        "the app says that it is a package, but its module was not found; with Poetry, `package-mode = false` says it is none",
    ),
    (
        r"pg_config executable not found",
        "write libpq-dev into an Aptfile, or install psycopg[binary] or psycopg2-binary, which need no compiler",
    ),
    (
        r"(mysql_config|mysqlclient|MYSQLCLIENT_CFLAGS)\S*:? (?:executable )?(?:not found|.*pkg-config)",
        "write default-libmysqlclient-dev into an Aptfile: {0} comes with it",
    ),
    (
        r"fatal error: (\S+\.h): No such file",
        "{0} is a system library's header: write its Debian package, such as libxml2-dev, into an Aptfile, or choose a version with a wheel",
    ),
    (
        r"(?:error while loading shared libraries: |ImportError: |OSError: )(lib[\w.+-]+\.so[\w.]*): cannot open shared object",
        "{0} is a system library: write its Debian package, such as libgl1, into an Aptfile",
    ),
    (
        r"command '?\S*(?:gcc|cc|g\+\+|rustc|cargo)'? failed|(?:rustc|cargo|gcc)\S* (?:is )?not (?:found|installed)",
        "a package is compiled from source: choose a version that has a wheel for Python {python}",
    ),
    (
        r"ModuleNotFoundError: No module named '?([\w.]+)",
        "{0} is missing while a package is built: it has to be declared by that package",
    ),
    (
        r"(?i)certificate verify failed|invalid peer certificate|UnknownIssuer",
        "the index's certificate is not trusted: the operator sets the CA bundle for builds (build.ca_bundle)",
    ),
    (
        r"(?i)401 unauthorized|403 forbidden",
        "the index refused: its credentials belong in the build secret netrc or pip.conf",
    ),
    (
        r"(?i)dns error|failed to lookup|name resolution|connection refused|timed out|tcp connect error|unreachable",
        "the package index was not reached: the operator sets index URL and proxy in build.env",
    ),
    (
        r"THESE PACKAGES DO NOT MATCH THE HASHES|[Hh]ash mismatch",
        "the index serves other bytes than were locked: make the lock again",
    ),
    (r"(?i)no space left on device", "the disk for builds is full: the operator has to make room"),
)


def explain(lines: Sequence[str], python: str) -> str:
    """The hints that fit the output, at most three, or where to look."""
    text = re.sub(r"\s+", " ", " ".join(line.strip(" ╰─▶│├\xd7") for line in lines))
    hints = []
    for pattern, hint in _HINTS:
        match = re.search(pattern, text)
        if match:
            hints.append(hint.format(*match.groups(), python=python))
    return "\n".join(hints[:3]) or "the installer's own words are above"
