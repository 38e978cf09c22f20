"""Answers with what a system program and a system library do, which the Aptfile names."""

import ctypes
import os
import signal
import subprocess
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

VERSION = "1"

sodium = ctypes.CDLL("libsodium.so.23")
sodium.sodium_init()
sodium.sodium_version_string.restype = ctypes.c_char_p


class Handler(BaseHTTPRequestHandler):
    def do_GET(self):
        letters = subprocess.run(
            ["figlet", "-f", "term", f"version {VERSION}"], stdout=subprocess.PIPE, check=True
        ).stdout
        body = letters + b"libsodium " + sodium.sodium_version_string() + b"\n"
        self.send_response(200)
        self.send_header("Content-Type", "text/plain; charset=utf-8")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format, *args):
        pass


server = ThreadingHTTPServer(("0.0.0.0", int(os.environ["PORT"])), Handler)
signal.signal(signal.SIGTERM, lambda *_: threading.Thread(target=server.shutdown).start())
server.serve_forever()
