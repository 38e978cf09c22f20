"""Is this a Node.js app?"""

import difflib
import json
from pathlib import Path

from nodepack.cnb import Verdict
from nodepack.manifest import LOCKS

# what the buildpack of another language requires where a front end is to be built for it
ASSETS = "node-assets"
# required by none: in a group with another language, which is optional there, Node.js is then left out
_ALONE = "node"
_BUILD_SCRIPTS = ("heroku-postbuild", "build")


def decide(app: Path) -> Verdict:
    """Pass on a package.json, readable or not: the build says what is wrong with it.

    Beside another language, Node.js takes part where package.json has a script that builds.
    """
    names = {path.name for path in app.iterdir() if path.is_file()}
    if "package.json" in names:
        found = [name for name in ("package.json", *LOCKS) if name in names]
        return Verdict(True, ", ".join(found), provides=ASSETS if _builds(app / "package.json") else _ALONE)
    others = sorted(names - {"package-lock.json"})
    misspelt = difflib.get_close_matches("package.json", others, n=1, cutoff=0.85)
    return Verdict(
        False, f"no package.json, but {misspelt[0]}: is it misspelt?" if misspelt else "no package.json"
    )


def _builds(package: Path) -> bool:
    try:
        scripts = json.loads(package.read_text(encoding="utf-8-sig"))["scripts"]
        return any(name in scripts for name in _BUILD_SCRIPTS)
    except (ValueError, KeyError, TypeError):
        return False  # a build that needs it says what is wrong with it
