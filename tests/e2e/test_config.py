"""What is set reaches the process as it is, and is seen by nobody else."""

import json
import secrets

import pytest

from tests.e2e.requests import Requests
from tests.e2e.world import Developer

pytestmark = pytest.mark.e2e

STRANGE = {
    "LINES": "one\ntwo\r\nthree\n",
    "QUOTES": "'\"`\\ $HOME $(HOME) $$ ${HOME} %HOME%",
    "TEMPLATE": "{{ x }} {% y %} <%= z %> #{w}",
    "WORDS": "no",
    "NUMBER": "1e3",
    "BLANKS": "  \t ",
    "EMPTY": "",
    "UNICODE": "ü \u2028 \u200d 🚀 \u202e",
    "CONTROL": "\x01\x1b[31m\x7f",
    "JSON": '{"a": [null, "#"]}',
    "LONG": "x" * 119_000,
    "http_proxy_like": "a=b=c",
}
_APP = """import json, os
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

ours = {name.decode(): value.hex() for name, value in os.environb.items()}


class Handler(BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200)
        self.end_headers()
        self.wfile.write(json.dumps(ours).encode())

    def log_message(self, *words):
        pass


ThreadingHTTPServer(("", int(os.environ["PORT"])), Handler).serve_forever()
"""


def test_every_strange_value_reaches_the_process_to_the_byte(alice: Developer) -> None:
    shop = alice.creates(f"shop-{secrets.token_hex(3)}", "flask")
    shop.commit("Tell the environment", {"app.py": _APP, "Procfile": "web: python app.py\n"})
    said = alice.ssh("config", "import", "--app", shop.app, stdin="export FIRST='1' # as .env has it\n").ok()
    said.says("Kept for the first release")
    shop.push().ok().says("v1 is live after")
    assert bytes.fromhex(json.loads(shop.get())["FIRST"]) == b"1"

    with Requests(shop.web() + "/") as requests:
        said = alice.ssh("config", "import", shop.app, stdin=json.dumps(STRANGE)).ok()
    assert requests.failures == []
    said.says("v2 is live after").does_not_say("{{ x }}", "1e3", "xxxx")
    seen = {name: bytes.fromhex(value) for name, value in json.loads(shop.get()).items()}
    assert {name: seen.get(name) for name in STRANGE} == {
        name: value.encode() for name, value in STRANGE.items()
    }
    exported = alice.ssh("config", "export", shop.app).ok().json()
    assert exported == {**STRANGE, "FIRST": "1"}

    alice.ssh("rollback", shop.app).ok().says("v3 is live after")
    assert not STRANGE.keys() & json.loads(shop.get()).keys()
    shop.commit("Nothing")
    shop.push().ok().says("v4 is live after")
    assert alice.ssh("config", "list", shop.app, "--json").ok().json() == [{"name": "FIRST", "bytes": 1}]
