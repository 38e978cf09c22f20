"""What the HTTP listener serves: git, and whether the server is well."""

from collections.abc import Callable

from starlette.applications import Starlette
from starlette.routing import Route

from gitreceive.web import health
from gitreceive.web.git_door import GitDoor


def application(ask_ledger: Callable[[], object], git: GitDoor | None = None) -> Starlette:
    """``ask_ledger`` raises a GitreceiveError where no push could be taken now; it may block."""
    routes = list(health.routes(ask_ledger))
    if git is not None:
        routes += [
            Route("/{app}/info/refs", git, methods=["GET"]),
            Route("/{app}/git-receive-pack", git, methods=["POST"]),
            Route("/{app}/git-upload-pack", git, methods=["POST"]),
        ]
    return Starlette(routes=routes)
