"""What a package manager's failure means, and what to do about it."""

import re
from collections.abc import Sequence

_HINTS = (
    (
        r"can only install packages when your package\.json and .*lock",
        "the lock does not fit package.json: run `npm install` and commit package-lock.json",
    ),
    (
        r"lockfile needs to be updated|lockfile would have been (?:modified|created)|OUTDATED_LOCKFILE|LOCKFILE_CONFIG_MISMATCH",
        "the lock does not fit package.json: run `{manager} install` and commit {lock}",
    ),
    (
        r"LOCKFILE_BREAKING_CHANGE|NO_LOCKFILE",
        "this {manager} does not read such a lock: say in packageManager which one wrote it",
    ),
    (
        r"E404|404 Not Found|ERR_PNPM_FETCH_404|YN0035",
        "a package is not on the registry: check its spelling, or have the operator set NPM_CONFIG_REGISTRY",
    ),
    (
        r"ETARGET|NO_MATCHING_VERSION|YN0082|No matching version found for (\S+)|Couldn't find any versions",
        "there is no such version: choose one that there is",
    ),
    (
        r"ERESOLVE",
        "packages ask for versions that exclude each other: `npm install` on your own machine shows which",
    ),
    (
        r"EBADENGINE|UNSUPPORTED_ENGINE|The engine \"node\" is incompatible",
        "a package needs another Node.js: set engines.node in package.json",
    ),
    (
        r"EINTEGRITY|TARBALL_INTEGRITY|YN0018|Integrity check failed",
        "the registry serves other bytes than were locked: make the lock again",
    ),
    (
        r"E401|E403|YN0041|FETCH_40[13]",
        "the registry refused: its credentials belong in the build secret npmrc",
    ),
    (
        r"SELF_SIGNED_CERT|UNABLE_TO_(?:VERIFY|GET)",
        "the registry's certificate is not trusted: the operator sets build.ca_bundle",
    ),
    (
        r"ENOTFOUND|ECONNREFUSED|ETIMEDOUT|EAI_AGAIN",
        "the registry was not reached: the operator sets NPM_CONFIG_REGISTRY and the proxy in build.env",
    ),
    (
        r"fatal error: \S+\.h: No such file|Package .* was not found in the pkg-config|No package '\S+' found|pkg-config: .*not found",
        "a package needs a system library's header: write its Debian package, such as libcairo2-dev, into an Aptfile",
    ),
    (r"gyp ERR", "a package is compiled from source: choose a version with prebuilt binaries"),
    (r"ENOSPC", "the disk for builds is full: the operator has to make room"),
)


def explain(lines: Sequence[str], manager: str = "npm", lock: str | None = None) -> str:
    """The hints that fit a package manager's output, at most three, or where to look."""
    text = "\n".join(lines)
    found = [hint for pattern, hint in _HINTS if re.search(pattern, text)]
    return "\n".join(hint.format(manager=manager, lock=lock or "its lock") for hint in found[:3]) or (
        f"{manager}'s own words are above"
    )
