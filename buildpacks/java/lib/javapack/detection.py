"""Is this a Java app?"""

import difflib
from pathlib import Path

from javapack.archives import runnable_jars
from javapack.cnb import Verdict
from javapack.project import GRADLE_FILES

_BUILD_FILES = ("pom.xml", *GRADLE_FILES)
# with one of these a jar is a tool or a download of another kind of app
_OTHERS = ("package.json", "index.html")


def decide(app: Path) -> Verdict:
    """Pass on a file that only Maven or Gradle reads, or on a jar that can be started where nothing else is to be served."""
    found = [name for name in _BUILD_FILES if (app / name).is_file()]
    if found:
        return Verdict(True, ", ".join(found))
    jars = [path.relative_to(app).as_posix() for path in runnable_jars(app)]
    other = next((name for name in _OTHERS if (app / name).is_file()), None)
    if jars and other:
        return Verdict(False, f"{jars[0]} could be started, but there is {other}")
    if jars:
        return Verdict(True, f"{', '.join(jars)} with a Main-Class")
    names = [path.name for path in app.iterdir()]
    for name in ("pom.xml", "build.gradle", "build.gradle.kts"):
        misspelt = difflib.get_close_matches(name, names, n=1, cutoff=0.85)
        if misspelt:
            return Verdict(False, f"no {name}, but {misspelt[0]}: is it misspelt?")
    return Verdict(False, f"no {', '.join(_BUILD_FILES)}, no jar with a Main-Class")
