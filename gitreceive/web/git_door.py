"""The HTTP door for git: its smart protocol (gitprotocol-http(5)), by git's own CGI program.

A push is two requests, or three where it is large: what is there (``GET APP/info/refs``), whether one may come in at all (an empty
``POST``), and the push itself (``POST APP/git-receive-pack``), whose answer is the live log and then the verdict.
"""

import asyncio
import logging
import re
from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import urlsplit

from starlette.datastructures import Headers
from starlette.requests import Request
from starlette.types import Receive, Scope, Send

from gitreceive.acting import Actor
from gitreceive.config import Settings, parse_listen
from gitreceive.errors import (
    ConflictError,
    ForbiddenError,
    GitreceiveError,
    NotFoundError,
    UnavailableError,
    UsageError,
)
from gitreceive.model import AppName
from gitreceive.receive.commands import GitCommand, git_protocol
from gitreceive.receive.git_process import git_http_backend, service_environment
from gitreceive.receive.git_sessions import GitSessions, Visit
from gitreceive.receive.sessions import Address
from gitreceive.sanitise import plain
from gitreceive.web.cgi import CgiClient, Response
from gitreceive.web.visitors import TooManyAttemptsError, UnknownVisitorError, Visitors, is_loopback

_SERVICES = ("receive-pack", "upload-pack")
_HOST = re.compile(r"[A-Za-z0-9.-]+(:[0-9]{1,5})?|\[[0-9A-Fa-f:.]+\](:[0-9]{1,5})?", re.ASCII)
_ANY = {"0.0.0.0", "::"}  # noqa: S104  compared with, not bound to
_STATUS: tuple[tuple[type[GitreceiveError], int], ...] = (
    (UnknownVisitorError, 401),
    (TooManyAttemptsError, 429),
    (ForbiddenError, 403),
    (NotFoundError, 404),
    (ConflictError, 409),
    (UsageError, 400),
    (UnavailableError, 503),
)
_CHALLENGE = (b"www-authenticate", b'Basic realm="gitreceive", charset="UTF-8"')
_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Asked:
    """A request of git's, taken apart. ``shows``: what is there is asked for, not to change it or fetch it."""

    service: str
    app: str
    shows: bool


@dataclass(frozen=True)
class GitDoor:
    """An ASGI application for git's three paths, ``app`` parsed out of them. ``ssh_port`` is the SSH door's, for the commands that are shown."""

    settings: Settings
    git: GitSessions
    visitors: Visitors
    ssh_port: int

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        request = Request(scope)
        response = Response(send)
        try:
            await self._answer(request, receive, response)
        except GitreceiveError as error:
            await (_break_off if response.spoken else _refuse)(response, error)
        except ConnectionError:
            return  # the client went away
        except Exception:
            _log.exception("a request failed")
            raise  # what has begun is broken off, what has not is answered with 500

    async def _answer(self, request: Request, receive: Receive, response: Response) -> None:
        self._check_way(request)
        actor = await asyncio.to_thread(
            self.visitors.actor, request.headers.get("authorization"), _client(request)
        )
        with self.git.crowd.session(actor.user):
            await self._serve(request, receive, response, actor)

    async def _serve(self, request: Request, receive: Receive, response: Response, actor: Actor) -> None:
        asked = _parse(request)
        client = CgiClient(receive, response, request.headers.get("content-encoding", "").lower())
        visit = await asyncio.to_thread(self._admit, actor, asked, self._address(request))
        command = git_http_backend(asked.service, self.settings)
        variables = _variables(asked, visit, request.headers, _client(request))
        environment = service_environment(git_protocol(request.headers.get("git-protocol")), variables)
        if asked.shows:
            code = await self.git.show(visit, client, command, environment)
        else:
            code = await self.git.serve(visit, client, command, environment)
        await client.end(code)

    def _check_way(self, request: Request) -> None:
        """Before anything is asked for that would be seen on the way."""
        if request.url.scheme == "https" or self.settings.http.plain or is_loopback(_client(request)):
            return
        raise ForbiddenError(
            "tokens are not taken over plain HTTP",
            hint="use https://; where a proxy speaks it, the server's http.trusted_proxies must name the proxy",
        )

    def _admit(self, actor: Actor, asked: Asked, address: Address) -> Visit:
        return self.git.admit(actor, GitCommand(asked.service, AppName.parse(asked.app)), address)

    def _address(self, request: Request) -> Address:
        """The configured names, else those by which the request came."""
        reached = request.headers.get("host", "")
        if not _HOST.fullmatch(reached):
            reached = "localhost"
        web = self.settings.public_url.rstrip("/") or f"{request.url.scheme}://{reached}"
        host, _ = parse_listen(self.settings.ssh_listen)
        if host in _ANY:
            host = urlsplit(web).hostname or "localhost"
        return Address(self.settings.public_host or host, self.ssh_port, web=web)


async def _refuse(response: Response, error: GitreceiveError) -> None:
    """In words, which git shows to its user line by line."""
    status = next((code for kind, code in _STATUS if isinstance(error, kind)), 500)
    headers = [_CHALLENGE] if status == 401 else []
    if isinstance(error, TooManyAttemptsError):
        headers.append((b"retry-after", b"%d" % error.seconds))
    elif status == 503:
        headers.append((b"retry-after", b"30"))
    text = f"{plain(error.message)}\n" + (f"  {plain(error.hint)}\n" if error.hint else "")
    await response.say(status, text, tuple(headers))


async def _break_off(response: Response, error: GitreceiveError) -> None:
    """What has begun ends in the middle, so that no client takes it for whole. A push is told why, on the band of its log
    (gitprotocol-pack(5), side-band-64k), which every git asks for.
    """
    _log.info("a request ended early: %s", error)
    if response.media == b"application/x-git-receive-pack-result":
        said = f" !     {plain(error.message)}\n" + (f" !     {plain(error.hint)}\n" if error.hint else "")
        content = said.encode("utf-8", "replace")
        await response.add(b"%04x\x02%s" % (len(content) + 5, content))


def _client(request: Request) -> str:
    return request.client.host if request.client else ""


def _parse(request: Request) -> Asked:
    """Raises UsageError, NotFoundError."""
    app = str(request.path_params["app"]).removesuffix(".git")
    shows = request.method == "GET"
    named = request.query_params.get("service", "") if shows else request.url.path.rpartition("/")[2]
    service = named.removeprefix("git-")
    if service not in _SERVICES:
        raise UsageError("only git's smart protocol is spoken here", hint="use git 2.0 or newer")
    return Asked(service, app, shows)


def _variables(asked: Asked, visit: Visit, headers: Headers, client: str) -> Mapping[str, str]:
    """What the program reads (RFC 3875, 4.1); of the request itself only what it must know. Its body's end is the end of its input."""
    path = "info/refs" if asked.shows else f"git-{asked.service}"
    return {
        "GATEWAY_INTERFACE": "CGI/1.1",
        "REQUEST_METHOD": "GET" if asked.shows else "POST",
        "GIT_PROJECT_ROOT": str(visit.repository.parent),
        "GIT_HTTP_EXPORT_ALL": "1",
        "PATH_INFO": f"/{visit.repository.name}/{path}",
        "QUERY_STRING": f"service=git-{asked.service}" if asked.shows else "",
        "CONTENT_TYPE": "" if asked.shows else _one_line(headers.get("content-type", "")),
        "REMOTE_USER": str(visit.actor.user),
        "REMOTE_ADDR": client,
    }


def _one_line(text: str) -> str:
    return text[:100] if text.isprintable() else ""
