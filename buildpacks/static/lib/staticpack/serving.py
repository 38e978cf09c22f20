#!/usr/bin/python3
"""Serve a folder with nginx on $PORT, and let requests under way finish when the process is told to end.

This file is a module of the buildpack and, copied into a layer, the program that runs in the image: it needs the standard
library and nginx alone.
"""

import hashlib
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

_ROOT = re.compile(r"[A-Za-z0-9._-]+(?:/[A-Za-z0-9._-]+)*")
_PATTERN = re.compile(r"/[A-Za-z0-9._~/%@+-]*\*?")
_NAME = re.compile(r"[A-Za-z][A-Za-z0-9-]*")
# what nginx says itself about an answer
_RESERVED = {
    "connection", "content-encoding", "content-length", "content-type", "date", "etag", "last-modified", "server",
    "transfer-encoding", "vary",
}  # fmt: skip
_LARGEST = 256 << 20  # bytes of a site that are read for its ETag when it starts


@dataclass(frozen=True)
class Site:
    """``root`` is what is served. With ``pushstate`` every path that is no file answers with index.html.

    ``headers`` are those of the file ``_headers``: a path, which may end in ``*``, a name and a value.
    """

    root: Path
    pushstate: bool = False
    headers: tuple[tuple[str, str, str], ...] = ()


def main() -> int:
    """Run nginx until it ends; SIGTERM becomes its graceful stop. Return its exit status."""
    site = find_site(Path.cwd())
    nginx = shutil.which("nginx", path=search_path(os.environ))
    if not nginx:
        sys.exit("nginx is not in the run image: the stack needs the package nginx-light")
    with tempfile.TemporaryDirectory(prefix="nginx-") as folder:
        reader, writer = os.pipe()
        configuration = Path(folder) / "nginx.conf"
        port = int(os.environ.get("PORT", "8080"))
        text = render(site, port, Path(folder), f"/proc/self/fd/{writer}", site_digest(site.root))
        configuration.write_text(text, encoding="utf-8")
        process = subprocess.Popen([nginx, "-e", "stderr", "-c", str(configuration)], pass_fds=(writer,))
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: process.send_signal(signal.SIGQUIT))
        os.close(writer)
        relay = threading.Thread(target=_relay, args=(reader,))
        relay.start()
        status = process.wait()
        relay.join()
        return status


def find_site(app: Path) -> Site:
    """What the Staticfile says, else ``public`` where it has an index.html, else the app's root; and what ``_headers`` in
    that folder says. Raises ValueError.
    """
    site = _find_folder(app)
    return replace(site, headers=_headers(site.root / "_headers"))


def _find_folder(app: Path) -> Site:
    staticfile = app / "Staticfile"
    if not staticfile.is_file():
        root = app if (app / "index.html").is_file() else app / "public"
        return Site(root if root.is_dir() else app)
    settings = _settings(staticfile)
    name = (
        settings.get("root", "public" if (app / "public").is_dir() else ".").rstrip("/").removeprefix("./")
        or "."
    )
    if not _ROOT.fullmatch(name) or ".." in name.split("/"):
        raise ValueError(f"Staticfile: root is {name[:80]!r}, which is no folder of the app")
    if not (app / name).is_dir():
        raise ValueError(f"Staticfile: root is {name}, and there is no such folder")
    return Site(app / name if name != "." else app, settings.get("pushstate") == "enabled")


def render(site: Site, port: int, folder: Path, access_log: str, digest: str | None = None) -> str:
    """The whole configuration of nginx. ``folder`` is where it may write."""
    maps, headers = _render_headers(site.headers)
    fallback = "/index.html" if site.pushstate else "=404"
    not_found = "error_page 403 404 =404 /404.html;" if (site.root / "404.html").is_file() else ""
    # Files in an image all have the same time, so nginx's own ETag and Last-Modified would stay when content changes.
    etag = (
        f"add_header ETag '\"{digest}\"';\n    if ($http_if_none_match ~ '\"{digest}\"') {{ return 304; }}"
        if digest
        else ""
    )
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
  client_body_temp_path {folder}/body;
  proxy_temp_path {folder}/proxy;
  fastcgi_temp_path {folder}/fastcgi;
  uwsgi_temp_path {folder}/uwsgi;
  scgi_temp_path {folder}/scgi;

  gzip on;
  gzip_vary on;
  gzip_proxied any;
  gzip_min_length 512;
  gzip_types text/css text/plain text/xml application/javascript text/javascript application/json
    application/manifest+json application/xml application/rss+xml image/svg+xml font/ttf;

  map $http_user_agent $is_person {{ default 1; ~^kube-probe 0; ~^gitreceive 0; }}
  access_log {access_log} combined if=$is_person;

  map $uri $cache_control {{
    default "no-cache";
    "~[.-](?=[0-9a-f]*[0-9])(?=[0-9a-f]*[a-f])[0-9a-f]{{8,}}\\.[a-z0-9]+$" "public, max-age=31536000, immutable";
  }}

{maps}
  server {{
    listen 0.0.0.0:{port};
    root {site.root};
    etag off;
    if_modified_since off;
    add_header Last-Modified "";
{headers}
    {etag}
    {not_found}

    location ~ /\\.(?!well-known(/|$)) {{ return 404; }}
    location = /Staticfile {{ return 404; }}
    location = /_headers {{ return 404; }}
    location = /Procfile {{ return 404; }}
    location / {{ try_files $uri $uri/ $uri.html {fallback}; }}
  }}
}}
"""


def _render_headers(rules: Sequence[tuple[str, str, str]]) -> tuple[str, str]:
    """The maps from what is asked for to each header's value, and the headers. An empty value leaves a header out."""
    values = {"cache-control": "$cache_control", "x-content-type-options": "nosniff"}
    written = {"cache-control": "Cache-Control", "x-content-type-options": "X-Content-Type-Options"}
    written |= {name.lower(): name for _, name, _ in rules}
    # the path as it was asked for: with pushstate nginx goes on with another
    maps = [
        '  geo $dollar { default "$"; }',
        "  map $request_uri $asked_path { default $request_uri; ~^([^?]*) $1; }",
    ]
    lines = []
    for number, (key, name) in enumerate(written.items()):
        maps.append(f'  map $asked_path $header_{number} {{\n    default "{values.get(key, "")}";')
        # nginx takes the first that fits, and here the last counts
        for pattern, _, value in reversed([rule for rule in rules if rule[1].lower() == key]):
            path = re.escape(pattern.rstrip("*")) + ("" if pattern.endswith("*") else "$")
            quoted = value.replace("\\", "\\\\").replace('"', '\\"').replace("$", "${dollar}")
            maps.append(f'    "~^{path}" "{quoted}";')
        maps.append("  }")
        # what is not there may be there tomorrow, whatever is said about caching
        lines.append(f"    add_header {name} $header_{number}{'' if key == 'cache-control' else ' always'};")
    return "\n".join(maps) + "\n", "\n".join(lines)


def site_digest(root: Path) -> str | None:
    """One digest of all that is served, as the ETag of each part of it; None where the site is too large to read."""
    files = sorted(path for path in root.rglob("*") if path.is_file())
    if sum(path.stat().st_size for path in files) > _LARGEST:
        return None
    digest = hashlib.sha256()
    for path in files:
        digest.update(f"{path.relative_to(root)}\0{path.stat().st_size}\0".encode(errors="surrogateescape"))
        digest.update(path.read_bytes())
    return digest.hexdigest()[:32]


def search_path(env: Mapping[str, str]) -> str:
    """PATH, with the place where Debian has nginx."""
    return f"{env.get('PATH', '/usr/bin:/bin')}:/usr/sbin"


def _settings(staticfile: Path) -> dict[str, str]:
    settings = {}
    for number, line in enumerate(staticfile.read_text(encoding="utf-8").splitlines(), start=1):
        if line.strip() and not line.lstrip().startswith("#"):
            key, colon, value = line.partition(":")
            if not colon or key.strip() not in {"root", "pushstate"}:
                raise ValueError(f"Staticfile line {number}: {line.strip()[:80]!r} is not understood")
            settings[key.strip()] = value.strip()
    if settings.get("pushstate", "enabled") not in {"enabled", "disabled"}:
        raise ValueError(
            f"Staticfile: pushstate is {settings['pushstate'][:80]!r}; write enabled or disabled"
        )
    return settings


def _headers(file: Path) -> tuple[tuple[str, str, str], ...]:
    """Lines that begin with a path, each followed by indented lines such as ``X-Frame-Options: DENY``."""
    found = []
    pattern = ""
    lines = file.read_text(encoding="utf-8").splitlines() if file.is_file() else []
    for number, line in enumerate(lines, start=1):
        text = line.strip()
        if not text or text.startswith("#"):
            continue
        name, colon, value = (part.strip() for part in text.partition(":"))
        if not line[0].isspace() and _PATTERN.fullmatch(text):
            pattern = text
        elif (
            not line[0].isspace()
            or not pattern
            or not colon
            or not _NAME.fullmatch(name)
            or not value.isprintable()
        ):
            raise ValueError(
                f"_headers line {number}: {text[:80]!r} is neither a path nor an indented header of one"
            )
        elif name.lower() in _RESERVED:
            raise ValueError(f"_headers line {number}: {name} is nginx's to say")
        else:
            found.append((pattern, name, value))
    return tuple(found)


def _relay(reader: int) -> None:
    """Pass the access log on. nginx cannot open a stdout that another user's process made."""
    while block := os.read(reader, 1 << 16):
        sys.stdout.buffer.write(block)
        sys.stdout.buffer.flush()


if __name__ == "__main__":
    sys.exit(main())
