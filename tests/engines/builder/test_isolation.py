"""No app can reach into another's builds: caches, downloads and all that a build may write to are its own."""

from pathlib import Path

import pytest

from gitreceive.model import AppName, Stack
from tests.engines.builder.case import HeardLog, Make, request, run, write_buildpack, write_order

pytestmark = pytest.mark.docker

# leaves a mark wherever a build may write, then seeks other apps' marks everywhere and reports what a cached layer holds
BUILD = r"""
layer=$CNB_LAYERS_DIR/downloads
seen=$(cat $layer/wheel 2>/dev/null || echo nothing)
mkdir -p $layer
app=$(cat name)
printf '[types]\ncache = true\n' > $layer.toml
echo "made by $app" > $layer/wheel
echo "before: $seen"
find / -xdev -name 'mark-of-*' 2>/dev/null | grep -v "mark-of-$app\$" | sed 's/^/strange: /'
for place in $(cut -d' ' -f2 /proc/mounts); do
  find "$place" -xdev -name 'mark-of-*' 2>/dev/null | grep -v "mark-of-$app\$" | sed 's/^/strange: /'
done
count=0
for folder in $( { find / -xdev -type d -writable; cut -d' ' -f2 /proc/mounts | xargs -I{} find {} -xdev -type d -writable; } 2>/dev/null | grep -v ^/proc | sort -u ); do
  echo "$app was here" > "$folder/mark-of-$app" 2>/dev/null && count=$((count + 1))
done
echo "marks: $count"
"""


def test_what_one_app_writes_anywhere_in_its_build_no_other_apps_build_meets(
    make: Make, packs: Path, stack: Stack
) -> None:
    """The cache of a package manager is a layer, so it is the app's; a poisoned one harms who poisoned it."""
    write_buildpack(packs, "one", build=BUILD)
    write_order(packs, ("one",))
    builder = make()
    try:
        logs = {}
        for turn, app in enumerate(("shop", "mallory", "shop", "mallory")):
            _, log, _ = run(
                builder,
                request({"name": app.encode()}, stack, app=app, options=("nocache",) if turn < 2 else ()),
            )
            logs[turn] = log
    finally:
        builder.forget(AppName("mallory"))
    assert [_line(log, "before: ") for log in logs.values()] == [
        "nothing",
        "nothing",
        "made by shop",
        "made by mallory",
    ]
    for log in logs.values():
        assert int(_line(log, "marks: ")) >= 3, log.text
        assert "strange: " not in log.text


def _line(log: HeardLog, start: str) -> str:
    found = [line.removeprefix(start) for line in log.text.splitlines() if line.startswith(start)]
    assert len(found) == 1, log.text
    return found[0]
