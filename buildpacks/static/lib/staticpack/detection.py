"""Is this a static site?"""

from pathlib import Path

from staticpack.cnb import Verdict


def decide(app: Path) -> Verdict:
    """Pass on a Staticfile, or on an index.html at the root or in ``public``."""
    found = [name for name in ("Staticfile", "index.html", "public/index.html") if (app / name).is_file()]
    if found:
        return Verdict(True, ", ".join(found))
    return Verdict(False, "no index.html, public/index.html, Staticfile")
