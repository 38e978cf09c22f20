"""Every sample app is pushed to both targets and answers."""

import json
import re
import urllib.request
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.e2e.world import SAMPLES, Clone, Server, fetch

pytestmark = pytest.mark.e2e


def _samples() -> list[Path]:
    return sorted(
        path.parent for path in SAMPLES.glob("*/expect.json") if "path" in json.loads(path.read_text())
    )


@pytest.mark.parametrize("sample", _samples(), ids=lambda path: path.name)
def test_a_pushed_sample_goes_live_and_answers(sample: Path, new_app: Callable[[str], Clone]) -> None:
    expected = json.loads((sample / "expect.json").read_text())
    clone = new_app(sample.name)

    push = clone.push().ok()

    push.says(
        "remote: ----->",
        "Publishing",
        "sha256:",
        "Rolling out v1",
        f"{clone.app} v1 is live after",
        "http://",
    )
    assert clone.remote_head() == clone.head
    url = clone.web()
    assert expected["contains"] in fetch(url + expected["path"], status=expected.get("status", 200))
    running = clone.processes()
    assert {p["process"] for p in running} == set(expected["processes"]) - {"release"}
    assert all(p["ready"] and p["release"] == 1 for p in running)


def test_djangos_collected_static_files_are_served(new_app: Callable[[str], Clone]) -> None:
    shop = new_app("django")
    shop.push().ok().says("collectstatic")
    link = re.search(r'"(/static/shop/window[^"]*)"', shop.get())
    assert link is not None, shop.get()
    assert fetch(shop.web() + link[1])


def test_a_release_command_runs_before_the_roll_out_and_stops_it_by_failing(
    new_app: Callable[[str], Clone],
) -> None:
    shop = new_app("procfile-worker")
    shop.push().ok().says("Running the release command of v1", "Rolling out v1: web=1, worker=1")
    live, answer = shop.head, shop.get()
    shop.commit("Break it", {"prepare_release.py": "raise SystemExit('the shelves are not ready')\n"})
    push = shop.push().failed()
    push.says("the shelves are not ready", "the release command failed (exit 1)", "! [remote rejected]")
    push.does_not_say("Rolling out")
    assert shop.remote_head() == live
    assert shop.get() == answer


def test_a_front_end_is_built_for_a_python_app_and_nodejs_stays_out_of_its_image(
    new_app: Callable[[str], Clone],
) -> None:
    shop = new_app("multi")
    push = shop.push().ok()
    push.says("Detected: gitreceive/nodejs", "gitreceive/python", "Running the script build")
    push.does_not_say("sending gitreceive/nodejs")
    page = fetch(shop.web() + "/")
    assert "a front end, version 1" in page
    assert "2 workers" in page  # a process has 512 MB where nobody says otherwise
    shop.commit("Colour it", {"front/window.css": "p {\n  color: #135;\n}\n"})
    shop.push().ok().says("Using the modules of the last build")
    assert "p{color:#135}" in fetch(shop.web() + "/static/window.css")


def test_a_single_page_app_is_built_and_answers_each_path_compressed_and_with_its_headers(
    docker_server: Server, app_name: str
) -> None:
    shop = docker_server.developer("alice").creates(app_name, "spa")
    push = shop.push().ok().says("Running the script build", "Serving dist/ with nginx")
    push.does_not_say("sending gitreceive/nodejs")
    url = shop.web()

    def ask(path: str) -> tuple[str, dict[str, str]]:
        request = urllib.request.Request(url + path, headers={"Accept-Encoding": "gzip"})
        with urllib.request.urlopen(request, timeout=10) as answer:
            return answer.headers.get_content_type(), dict(answer.headers)

    page = fetch(f"{url}/shelves/7")
    assert page == fetch(url)
    script = re.search(r"/assets/app\.[0-9a-f]+\.js", page)
    assert script is not None, page
    kind, headers = ask(script[0])
    assert (kind, headers["Content-Encoding"]) == ("application/javascript", "gzip")
    assert "immutable" in headers["Cache-Control"]
    kind, headers = ask("/shelves/7")
    assert (kind, headers["X-Frame-Options"], headers["Cache-Control"]) == ("text/html", "DENY", "no-cache")
    # a file of another release is answered with the page, which nobody is to keep under its name
    assert ask("/assets/app.00000000a1.js")[1]["Cache-Control"] == "no-cache"
