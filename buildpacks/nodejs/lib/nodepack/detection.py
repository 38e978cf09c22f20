"""Is this a Node.js app?"""

import difflib
from pathlib import Path

from nodepack.cnb import Verdict
from nodepack.manifest import LOCKS


def decide(app: Path) -> Verdict:
    """Pass on a package.json, readable or not: the build says what is wrong with it."""
    names = {path.name for path in app.iterdir() if path.is_file()}
    if "package.json" in names:
        found = [name for name in ("package.json", *LOCKS) if name in names]
        return Verdict(True, ", ".join(found))
    others = sorted(names - {"package-lock.json"})
    misspelt = difflib.get_close_matches("package.json", others, n=1, cutoff=0.85)
    return Verdict(
        False, f"no package.json, but {misspelt[0]}: is it misspelt?" if misspelt else "no package.json"
    )
