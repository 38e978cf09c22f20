"""What is for the operator alone, on an address of its own: ``/metrics``, and the health checks in full."""

from collections.abc import Callable

from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from gitreceive.web import health


def application(exposition: Callable[[], tuple[bytes, str]], look: health.Look) -> Starlette:
    """``exposition`` gives a text and its media type; it may block."""

    async def metrics(_request: Request) -> Response:
        text, media = await run_in_threadpool(exposition)
        return Response(text, headers={"content-type": media})

    return Starlette(routes=[Route("/metrics", metrics), *health.routes(look, in_full=True)])
