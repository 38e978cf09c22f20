"""Serves one page to every request, with 503 and Retry-After. Run by itself, where gitreceive is not installed: standard library alone.

Arguments: the page's file, the port, and after how many seconds visitors are asked to come again.
"""

import os
import signal
import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

_MOST_READ = 1 << 20  # of what a visitor sends: who is not heard out does not read the answer


def make_handler(page: bytes, retry_seconds: int) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        timeout = 20

        def __getattr__(self, name: str) -> Any:
            """Every method is answered alike."""
            if name.startswith("do_"):
                return self._answer
            raise AttributeError(name)

        def _answer(self) -> None:
            length = self.headers.get("Content-Length", "0")
            self.rfile.read(min(int(length), _MOST_READ) if length.isdigit() else 0)
            self.close_connection = True
            self.send_response(503)
            self.send_header("Content-Type", "text/html; charset=utf-8")
            self.send_header("Content-Length", str(len(page)))
            self.send_header("Retry-After", str(retry_seconds))
            self.send_header("Cache-Control", "no-store")
            self.send_header("Connection", "close")
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(page)

        def log_message(self, *_words: object) -> None:
            """Nobody reads it."""

    return Handler


def main() -> None:
    file, port, retry_seconds = sys.argv[1:]
    # the first process of a container ends at no signal that it does not ask for
    signal.signal(signal.SIGTERM, lambda *_: os._exit(0))
    handler = make_handler(Path(file).read_bytes(), int(retry_seconds))
    ThreadingHTTPServer(("", int(port)), handler).serve_forever()


if __name__ == "__main__":
    main()
