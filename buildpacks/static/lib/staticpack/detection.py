"""Is this a static site?"""

from pathlib import Path

from staticpack.cnb import Verdict

# Node.js may build what a Staticfile names
_ASSETS = "node-assets"


def decide(app: Path) -> Verdict:
    """Pass on a Staticfile, or on an index.html at the root or in ``public``: that may as well be a Node.js app's."""
    if (app / "package.json").is_file() and not (app / "Staticfile").is_file():
        return Verdict(False, "no Staticfile, which says what is to be served where there is a package.json")
    found = [name for name in ("Staticfile", "index.html", "public/index.html") if (app / name).is_file()]
    if found:
        return Verdict(True, ", ".join(found), requires=_ASSETS if "Staticfile" in found else "")
    return Verdict(False, "no index.html, public/index.html, Staticfile")
