"""A buildpack to begin with: it detects, keeps a layer from build to build, starts a web process, and has a test. Pure."""

from dataclasses import dataclass

from gitreceive.errors import UsageError
from gitreceive.lifecycle.folder import is_id

_DESCRIPTION = """api = "0.10"

[buildpack]
id = "@id@"
version = "0.1.0"
name = "@name@"
description = "Apps with @file@"

[[targets]]
os = "linux"

[metadata.gitreceive]
# What bin/detect looks for: a misspelling of it gets a hint.
detects = ["@file@"]
# What the result of bin/build follows from. While all of it is the same, pushes are not built at all. "**" is everything.
inputs = ["@file@"]

# What to say when bin/build fails with output that is known. {1} is what the first group has found.
[[metadata.gitreceive.hints]]
match = '(\\S+): command not found'
hint = "{1} is not in the build image: install it in bin/build, or make a stack that has it"
"""

_DETECT = """#!/usr/bin/env bash
# Runs in the app's folder. Exit 0: it builds this app. Exit 100: it does not. The last line is the reason that people see.
set -euo pipefail

if [[ -f @file@ ]]; then
  echo "@file@ is there"
else
  echo "no @file@"
  exit 100
fi
"""

_BUILD = """#!/usr/bin/env bash
# Runs in the app's folder. What it prints is the build's log; "error: ..." and "hint: ..." end up in the push's last lines.
set -euo pipefail

tools="$CNB_LAYERS_DIR/tools"
wanted=1 # raise it when what the layer holds changes

if [[ -f $tools/version && $(< "$tools/version") == "$wanted" ]]; then
  echo "tools $wanted are here from the last build"
else
  echo "making tools $wanted"
  rm -rf "$tools"
  mkdir -p "$tools/bin"
  # In place of this: install what apps need in order to run. A layer's bin/ is on their PATH.
  cat > "$tools/bin/@name@-web" <<'END'
#!/bin/sh
exec python3 -m http.server "${PORT:-8080}"
END
  chmod +x "$tools/bin/@name@-web"
  echo "$wanted" > "$tools/version"
fi

# launch: it is in the image. cache: the next build finds it here. build: buildpacks after this one have it on their PATH.
printf '[types]\\nlaunch = true\\ncache = true\\n' > "$tools.toml"

cat > "$CNB_LAYERS_DIR/launch.toml" <<'END'
[[processes]]
type = "web"
command = ["@name@-web"]
default = true
END
"""

_TEST = """#!/usr/bin/env bash
# Exit 0: the buildpack is sound, and it builds the sample app into an image with a web process.
set -euo pipefail
cd "$(dirname "$0")/.."

gitreceive buildpack lint .
gitreceive buildpack test . --app test/app --process web
"""

_APP = "A sample for the test of this buildpack: replace it by a small app.\n"


@dataclass(frozen=True)
class Draft:
    """A file to be written."""

    path: str
    text: str
    executable: bool = False


def skeleton(identity: str, file: str = "") -> tuple[Draft, ...]:
    """The files of a buildpack called ``identity`` for apps that have ``file``; empty: ``main.NAME``. Raises UsageError."""
    if not is_id(identity) or not name_of(identity).strip("."):
        raise UsageError(
            f"{identity[:60]!r} cannot be a buildpack's id",
            hint="write VENDOR/NAME in letters, digits, dots and dashes",
        )
    name = name_of(identity)
    file = file or f"main.{name}"
    if not set(file) <= _PLAIN or file.startswith(("-", ".")):
        raise UsageError(
            f"{file[:60]!r} is no plain file name", hint="use letters, digits, dots, dashes and underscores"
        )
    values = {"@id@": identity, "@name@": name, "@file@": file}
    drafts = (
        Draft("buildpack.toml", _DESCRIPTION),
        Draft("bin/detect", _DETECT, executable=True),
        Draft("bin/build", _BUILD, executable=True),
        Draft("test/run", _TEST, executable=True),
        Draft("test/app/@file@", _APP),
    )
    return tuple(Draft(_fill(d.path, values), _fill(d.text, values), d.executable) for d in drafts)


_PLAIN = frozenset("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._-")


def name_of(identity: str) -> str:
    """The last part of an id, which also names the new folder."""
    return identity.rpartition("/")[2]


def _fill(text: str, values: dict[str, str]) -> str:
    for place, value in values.items():
        text = text.replace(place, value)
    return text
