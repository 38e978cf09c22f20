#!/usr/bin/python3
"""Serve a PHP app with nginx and PHP-FPM on $PORT, and let requests under way finish when the process is told to end.

This file is a module of the buildpack and, copied into a layer, the program that runs in the image: it needs the standard
library, nginx and php-fpm alone. ``serve-php [FOLDER]``; without FOLDER it is public, web or the app itself.
"""

import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

_ROOTS = ("public", "web", ".")
_ROOT = re.compile(r"[A-Za-z0-9._-]+(?:/[A-Za-z0-9._-]+)*")
_WORKER_BYTES = 96 << 20  # what a worker is reckoned to take; memory_limit is its most
_MOST_WORKERS = 16
_LIMITS = ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes")


@dataclass(frozen=True)
class Site:
    """``root`` is what is served. With ``front`` a path that is no file is index.php's."""

    root: Path
    front: bool


def main(arguments: list[str]) -> int:
    """Run both until one ends; SIGTERM becomes their graceful stop, nginx first. Return an exit status."""
    site = find_site(Path.cwd(), arguments[0] if arguments else "")
    programs = {name: shutil.which(name, path=search_path(os.environ)) for name in ("nginx", "php-fpm")}
    for name, program in programs.items():
        if not program:
            sys.exit(f"{name} is not in the image")
    workers = worker_count(os.environ, _memory_limit())
    with tempfile.TemporaryDirectory(prefix="php-") as name:
        folder = Path(name)
        reader, writer = os.pipe()
        port = int(os.environ.get("PORT", "8080"))
        (folder / "nginx.conf").write_text(
            render_nginx(site, port, folder, f"/proc/self/fd/{writer}"), encoding="utf-8"
        )
        (folder / "fpm.conf").write_text(render_fpm(workers, folder), encoding="utf-8")
        # a log of its own user's making: what Docker made cannot be opened again
        fpm = subprocess.Popen(
            [str(programs["php-fpm"]), "-F", "-y", str(folder / "fpm.conf")], stderr=writer
        )
        _await(folder / "fpm.sock", fpm)  # a request before it is there would be answered with 502
        nginx = subprocess.Popen(
            [str(programs["nginx"]), "-e", "stderr", "-c", str(folder / "nginx.conf")], pass_fds=(writer,)
        )
        os.close(writer)
        relay = threading.Thread(target=_relay, args=(reader,))
        relay.start()
        status = _watch(nginx, fpm)
        relay.join()
        return status


def find_site(app: Path, given: str = "") -> Site:
    """The folder that is named, else the first of public, web and the app that has an index.php. Raises ValueError."""
    if given:
        name = given.strip("/").removeprefix("./") or "."
        if not _ROOT.fullmatch(name) or ".." in name.split("/"):
            raise ValueError(f"{given[:80]!r} is no folder of the app")
        if not (app / name).is_dir():
            raise ValueError(f"there is no folder {name}/ in the app")
        names: tuple[str, ...] = (name,)
    else:
        names = tuple(name for name in _ROOTS if (app / name / "index.php").is_file())
    if not names:
        raise ValueError("there is no index.php in public/, in web/ or in the app's root")
    root = app / names[0]
    return Site(root, (root / "index.php").is_file())


def worker_count(env: Mapping[str, str], memory: int | None) -> int:
    """WEB_CONCURRENCY, else what fits into the memory. Raises ValueError."""
    asked = env.get("WEB_CONCURRENCY", "").strip()
    if asked:
        if not asked.isdigit() or int(asked) < 1:
            raise ValueError(f"WEB_CONCURRENCY is {asked[:40]!r}; it must be a number from 1 on")
        return int(asked)
    return max(2, min(_MOST_WORKERS, memory // _WORKER_BYTES)) if memory else 4


def render_fpm(workers: int, folder: Path) -> str:
    """The whole configuration of PHP-FPM. Its log, and what the app logs, is its stderr."""
    return f"""\
[global]
error_log = /proc/self/fd/2
log_level = warning
daemonize = no
process_control_timeout = 25s
[www]
listen = {folder}/fpm.sock
listen.backlog = 511
pm = static
pm.max_children = {workers}
clear_env = no
catch_workers_output = yes
decorate_workers_output = no
php_admin_value[error_log] = /proc/self/fd/2
"""


def render_nginx(site: Site, port: int, folder: Path, access_log: str) -> str:
    """The whole configuration of nginx. ``folder`` is where it may write."""
    fallback = "/index.php$is_args$args" if site.front else "=404"
    return f"""\
daemon off;
worker_processes 1;
worker_shutdown_timeout 25s;
pid {folder}/nginx.pid;
error_log stderr warn;
events {{ worker_connections 1024; }}
http {{
  include /etc/nginx/mime.types;
  default_type application/octet-stream;
  charset utf-8;
  server_tokens off;
  sendfile on;
  tcp_nopush on;
  absolute_redirect off;
  client_max_body_size 32m;
  client_body_temp_path {folder}/body;
  proxy_temp_path {folder}/proxy;
  fastcgi_temp_path {folder}/fastcgi;
  uwsgi_temp_path {folder}/uwsgi;
  scgi_temp_path {folder}/scgi;
  fastcgi_buffers 16 16k;
  fastcgi_buffer_size 32k;

  gzip on;
  gzip_vary on;
  gzip_proxied any;
  gzip_min_length 512;
  gzip_types text/css text/plain text/xml application/javascript text/javascript application/json application/xml image/svg+xml;

  map $http_user_agent $is_person {{ default 1; ~^kube-probe 0; ~^gitreceive 0; }}
  map $http_x_forwarded_proto $is_https {{ default ""; https on; }}
  access_log {access_log} combined if=$is_person;

  server {{
    listen 0.0.0.0:{port};
    root {site.root};
    index index.php index.html;
    # files of an image all have the same time, so what is made of it would stay when content changes
    etag off;
    if_modified_since off;
    add_header Last-Modified "";
    add_header X-Content-Type-Options nosniff;

    location ~ /\\.(?!well-known(/|$)) {{ return 404; }}
    location ~ ^/(vendor|node_modules)(/|$) {{ return 404; }}
    location ~ ^/(composer\\.(json|lock)|Procfile|package(-lock)?\\.json)$ {{ return 404; }}
    location / {{ try_files $uri $uri/ {fallback}; }}
    location ~ \\.php(/|$) {{
      fastcgi_split_path_info ^(.+?\\.php)(/.*)$;
      set $path_info $fastcgi_path_info;
      try_files $fastcgi_script_name {fallback};
      include /etc/nginx/fastcgi_params;
      fastcgi_param SCRIPT_FILENAME $document_root$fastcgi_script_name;
      fastcgi_param PATH_INFO $path_info;
      fastcgi_param HTTPS $is_https;
      fastcgi_param HTTP_PROXY "";
      fastcgi_read_timeout 120s;
      fastcgi_pass unix:{folder}/fpm.sock;
    }}
  }}
}}
"""


def search_path(env: Mapping[str, str]) -> str:
    """PATH, with the place where Debian has nginx."""
    return f"{env.get('PATH', '/usr/bin:/bin')}:/usr/sbin"


def _await(socket: Path, fpm: subprocess.Popen[bytes]) -> None:
    while not socket.exists() and fpm.poll() is None:
        time.sleep(0.01)


def _watch(nginx: subprocess.Popen[bytes], fpm: subprocess.Popen[bytes]) -> int:
    """Wait for the first to end, then end the other. 0 only where that was asked for."""
    asked, ended = threading.Event(), threading.Event()

    def stop(*_: object) -> None:
        asked.set()
        nginx.send_signal(signal.SIGQUIT)  # it takes no more requests, and finishes those that it has

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, stop)
    statuses: dict[str, int] = {}
    threads = [
        threading.Thread(target=_wait, args=(name, process, statuses, ended), daemon=True)
        for name, process in (("nginx", nginx), ("php-fpm", fpm))
    ]
    for thread in threads:
        thread.start()
    while not ended.wait(1):  # signals are handled between waits
        pass
    first = " and ".join(statuses)
    for process in (nginx, fpm):
        process.send_signal(signal.SIGQUIT)  # no error where it has ended
    for thread in threads:
        thread.join()
    if asked.is_set():
        return 0
    sys.stderr.write(f"serve-php: {first} ended\n")
    return max(1, *statuses.values())


def _wait(
    name: str, process: subprocess.Popen[bytes], statuses: dict[str, int], ended: threading.Event
) -> None:
    statuses[name] = process.wait()
    ended.set()


def _memory_limit() -> int | None:
    for path in _LIMITS:
        try:
            text = Path(path).read_text(encoding="utf-8").strip()
        except OSError:
            continue
        if text.isdigit() and int(text) < 1 << 50:  # without a limit, cgroup v1 says a very large number
            return int(text)
    return None


def _relay(reader: int) -> None:
    """Pass on what both log."""
    while block := os.read(reader, 1 << 16):
        sys.stdout.buffer.write(block)
        sys.stdout.buffer.flush()


if __name__ == "__main__":
    try:
        sys.exit(main(sys.argv[1:]))
    except ValueError as error:
        sys.exit(f"serve-php: {error}")
