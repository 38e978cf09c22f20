"""A web server on a free loopback port that answers with what it is given."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


@dataclass
class Page:
    body: bytes = b""
    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)


@dataclass
class Web:
    """``asked`` has the path and the headers of each request."""

    url: str = ""
    pages: dict[str, list[Page]] = field(default_factory=dict)
    asked: list[tuple[str, dict[str, str]]] = field(default_factory=list)

    def put(self, path: str, *pages: Page) -> str:
        """Answer in turn, and then always with the last; the URL."""
        self.pages[path] = list(pages)
        return f"{self.url}{path}"


@contextmanager
def serving() -> Iterator[Web]:
    web = Web()
    server = ThreadingHTTPServer(("127.0.0.1", 0), type("Bound", (_Handler,), {"web": web}))
    web.url = f"http://127.0.0.1:{server.server_address[1]}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield web
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


class _Handler(BaseHTTPRequestHandler):
    web: Web

    def do_GET(self) -> None:
        self.web.asked.append((self.path, dict(self.headers)))
        pages = self.web.pages.get(self.path, [Page(status=404)])
        page = pages.pop(0) if len(pages) > 1 else pages[0]
        self.send_response(page.status)
        for name, value in {"Content-Length": str(len(page.body)), **page.headers}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(page.body)
        self.close_connection = True

    def log_message(self, *args: object) -> None:
        pass
