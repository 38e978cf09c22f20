"""Is there a Procfile?"""

from pathlib import Path

from procfilepack.cnb import Verdict


def decide(app: Path) -> Verdict:
    """Pass on a file named exactly so; a misspelling of its case is named."""
    names = {path.name for path in app.iterdir() if path.is_file()}
    if "Procfile" in names:
        return Verdict(True, "Procfile")
    other = next((name for name in sorted(names) if name.lower() in ("procfile", "procfile.txt")), None)
    return Verdict(False, f"no Procfile, but {other}: rename it to Procfile" if other else "no Procfile")
