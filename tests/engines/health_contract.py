"""What every Target that runs real processes keeps of their health checks, once they serve."""

import http.client
import time
from collections.abc import Callable
from http import HTTPStatus
from urllib.parse import urlsplit

from gitreceive.model import AppSettings, CheckKind, HealthCheck, ProcessStatus, Runtime
from tests.engines.stage import Stage

# from /tire on it is not ready, and four seconds later not alive
MOODY = """
import http.server, os, signal, time
signal.signal(signal.SIGTERM, lambda *_: os._exit(0))
born, tired = str(time.time()), 0
class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        global tired
        if self.path == '/tire':
            tired = time.time()
        sick = tired and (self.path == '/ready' or (self.path == '/alive' and time.time() > tired + 4))
        self.send_response(503 if sick else 200)
        self.end_headers()
        self.wfile.write(born.encode())
    def log_message(self, *arguments):
        pass
http.server.ThreadingHTTPServer(('', int(os.environ['PORT'])), Handler).serve_forever()
"""
CHECKS = (
    HealthCheck(CheckKind.STARTUP, path="/", attempts=60, wait=1),
    HealthCheck(CheckKind.LIVENESS, path="/alive", attempts=1, timeout=2, wait=1),
    HealthCheck(CheckKind.READINESS, path="/ready", attempts=1, timeout=2, wait=1),
)
_PATIENCE = 90


class HealthContract:
    """Needs a fixture ``stage``, as ``TargetContract`` does."""

    def test_what_is_not_ready_is_shown_and_what_is_not_alive_is_started_anew(self, stage: Stage) -> None:
        asked = AppSettings(runtime=Runtime(health={"web": CHECKS}))
        stage.roll_out(stage.release(1, web=MOODY, settings=asked))
        _, first = _get(stage, "/tire")
        unready = _status(stage, lambda status: not status.ready)
        assert unready.reason
        # a busy node tells of the new container before it tells how the one before it ended
        again = _status(
            stage, lambda status: status.ready and status.restarts == 1 and bool(status.last_exit)
        )
        assert again.instance == unready.instance
        _until_answers_otherwise(stage, first)


def _get(stage: Stage, path: str) -> tuple[int, bytes]:
    url = stage.target.url(stage.app)
    assert url is not None
    connection = http.client.HTTPConnection(urlsplit(url).netloc, timeout=10)
    try:
        connection.request("GET", path)
        answer = connection.getresponse()
        return answer.status, answer.read()
    finally:
        connection.close()


def _until_answers_otherwise(stage: Stage, first: bytes) -> None:
    """Who leads requests may learn a moment later that it is ready again."""
    end = time.monotonic() + _PATIENCE
    while True:
        said = ""
        try:
            status, body = _get(stage, "/")
        except OSError as error:
            status, body, said = 0, b"", str(error)
        if status == HTTPStatus.OK and body != first:
            return
        assert time.monotonic() < end, said or (status, body)
        time.sleep(0.2)


def _status(stage: Stage, wanted: Callable[[ProcessStatus], bool]) -> ProcessStatus:
    """The only process, as soon as it is so."""
    end = time.monotonic() + _PATIENCE
    while True:
        (status,) = stage.target.processes(stage.app)
        if wanted(status):
            return status
        assert time.monotonic() < end, status
        time.sleep(0.2)
