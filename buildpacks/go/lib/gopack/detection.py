"""Is this a Go app?"""

import difflib
from pathlib import Path

from gopack.cnb import Verdict

# Node.js may build a front end before this buildpack compiles, which may embed it
_ASSETS = "node-assets"


def decide(app: Path) -> Verdict:
    """Pass on a go.mod at the root, readable or not: the build says what is wrong with it."""
    names = {path.name for path in app.iterdir() if path.is_file()}
    if "go.mod" in names:
        found = [name for name in ("go.mod", "go.sum", "go.work") if name in names]
        return Verdict(True, ", ".join(found), requires=_ASSETS)
    return Verdict(False, _why_not(names))


def _why_not(names: set[str]) -> str:
    if "go.work" in names:
        return "no go.mod at the root, but go.work: the root has to be a module of its own"
    if any(name.endswith(".go") for name in names):
        return "no go.mod, but Go files: run `go mod init` and commit go.mod"
    misspelt = difflib.get_close_matches("go.mod", sorted(names), n=1, cutoff=0.85)
    return f"no go.mod, but {misspelt[0]}: is it misspelt?" if misspelt else "no go.mod"
