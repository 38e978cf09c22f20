"""``/healthz``: the process lives. ``/readyz``: a push would be taken, as the ledger answers."""

from collections.abc import Callable

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.routing import Route

from gitreceive.errors import GitreceiveError


def routes(ask_ledger: Callable[[], object]) -> tuple[Route, ...]:
    """``ask_ledger`` raises a GitreceiveError where no push could be taken now; it may block."""

    async def healthz(_request: Request) -> PlainTextResponse:
        return PlainTextResponse("ok\n")

    async def readyz(_request: Request) -> PlainTextResponse:
        try:
            await run_in_threadpool(ask_ledger)
        except GitreceiveError as error:
            return PlainTextResponse(f"{error.message}\n", status_code=503)
        return PlainTextResponse("ok\n")

    return Route("/healthz", healthz), Route("/readyz", readyz)
