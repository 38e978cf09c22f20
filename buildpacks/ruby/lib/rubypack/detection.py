"""Is this a Ruby app?"""

import difflib
from pathlib import Path

from rubypack.cnb import Verdict

_NAMES = ("Gemfile", "Gemfile.lock", "config.ru")


def decide(app: Path) -> Verdict:
    """Pass on any file that only a Ruby app has, also those that the build then refuses with a remedy."""
    found = [name for name in _NAMES if (app / name).is_file()]
    if found:
        return Verdict(True, ", ".join(found))
    misspelt = difflib.get_close_matches("Gemfile", [path.name for path in app.iterdir()], n=1, cutoff=0.8)
    if misspelt:
        return Verdict(False, f"no Gemfile, but {misspelt[0]}: is it misspelt?")
    return Verdict(False, f"no {', '.join(_NAMES)}")
