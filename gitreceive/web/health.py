"""``/healthz``: the process lives. ``/readyz``: a push would be taken and could go live, as all that it needs answers."""

from collections.abc import Callable, Sequence
from typing import Protocol

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.routing import Route


class Finding(Protocol):
    """Of one part that the server stands on."""

    @property
    def part(self) -> str: ...

    @property
    def ok(self) -> bool: ...

    @property
    def seen(self) -> str: ...


Look = Callable[[], Sequence[Finding]]


def routes(look: Look, *, in_full: bool = False) -> tuple[Route, ...]:
    """``look`` may block. ``in_full``: say what was seen, which names hosts and paths; else only which part is well and which is not."""

    async def healthz(_request: Request) -> PlainTextResponse:
        return PlainTextResponse("ok\n")

    async def readyz(_request: Request) -> PlainTextResponse:
        found = await run_in_threadpool(look)
        text = "".join(_line(finding, in_full=in_full) for finding in found)
        ready = all(finding.ok for finding in found)
        return PlainTextResponse(text or "ok\n", status_code=200 if ready else 503)

    return Route("/healthz", healthz), Route("/readyz", readyz)


def _line(finding: Finding, *, in_full: bool) -> str:
    seen = " ".join(finding.seen.split()) if in_full else ""
    return f"{finding.part}: {'ok' if finding.ok else 'not well'}{f' ({seen})' if seen else ''}\n"
