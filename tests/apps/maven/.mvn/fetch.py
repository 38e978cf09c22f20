"""Fill .mvn/repository with the Maven plugins that this app is built with, out of Debian's packages of them.

What an app carries for builds without a server is Maven's local repository; Debian has one for its own builds.
"""

import re
import shutil
import subprocess
import tempfile
from pathlib import Path

PACKAGES = (
    "junit5",
    "libmaven-compiler-plugin-java",
    "libmaven-jar-plugin-java",
    "libmaven-resources-plugin-java",
)
UNUSED = re.compile(r"(?:com/google/(?!inject)|com/univocity|info|junit|org/junit/(?:jupiter|platform|vintage))/.*")
# of the versions under which Debian has each artifact, those that its own artifacts ask for, and the plugins'
WANTED = re.compile(r".*/(?:debian|\d+\.x)/[^/]+|.*/plugins/[^/]+/(?:3\.3\.0|3\.10\.1)/[^/]+|.*/1\.5\.5/[^/]+\.pom")


def main() -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        fetch(folder)
        for package in folder.glob("cache/archives/*.deb"):
            subprocess.run(["dpkg-deb", "-x", str(package), str(folder / "root")], check=True)
        repository = folder / "root/usr/share/maven-repo"
        for path in sorted(repository.rglob("*.*")):
            relative = path.relative_to(repository).as_posix()
            if path.is_file() and WANTED.fullmatch(relative) and not UNUSED.fullmatch(relative):
                target = Path(".mvn/repository", relative)
                target.parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(path, target)


def fetch(folder: Path) -> None:
    """With a state of apt's own: nothing is installed, and what is does not count."""
    for name in ("lists/partial", "cache/archives/partial"):
        (folder / name).mkdir(parents=True)
    (folder / "status").touch()
    settings = (
        f"Dir::State={folder}",
        f"Dir::State::lists={folder / 'lists'}",
        f"Dir::State::status={folder / 'status'}",
        f"Dir::Cache={folder / 'cache'}",
        "APT::Sandbox::User=",
        "APT::Get::Assume-Yes=true",
        "Debug::NoLocking=1",
    )
    options = [word for setting in settings for word in ("-o", setting)]
    for words in (["update"], ["install", "--download-only", "--no-install-recommends", *PACKAGES]):
        subprocess.run(["apt-get", "-qq", *options, *words], check=True)


main()
