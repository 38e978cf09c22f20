"""Is this a PHP app?"""

import difflib
from pathlib import Path

from phppack.cnb import Verdict

# Node.js may build a front end before this buildpack installs packages
_ASSETS = "node-assets"
_NAMES = ("composer.json", "composer.lock", "index.php", "public/index.php", "web/index.php")


def decide(app: Path) -> Verdict:
    """Pass on any file that only a PHP app has, also those that the build then refuses with a remedy."""
    found = [name for name in _NAMES if (app / name).is_file()]
    if found:
        return Verdict(True, ", ".join(found), requires=_ASSETS)
    misspelt = difflib.get_close_matches(
        "composer.json", [path.name for path in app.iterdir()], n=1, cutoff=0.85
    )
    if misspelt:
        return Verdict(False, f"no composer.json, but {misspelt[0]}: is it misspelt?")
    return Verdict(False, f"no {', '.join(_NAMES)}")
