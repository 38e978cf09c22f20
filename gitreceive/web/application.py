"""What the HTTP listener serves: git, and whether the server is well."""

from starlette.applications import Starlette
from starlette.routing import Route

from gitreceive.web import health
from gitreceive.web.git_door import GitDoor


def application(look: health.Look, git: GitDoor | None = None) -> Starlette:
    """``look`` finds whether the parts answer that a push needs; it may block."""
    routes = list(health.routes(look))
    if git is not None:
        routes += [
            Route("/{app}/info/refs", git, methods=["GET"]),
            Route("/{app}/git-receive-pack", git, methods=["POST"]),
            Route("/{app}/git-upload-pack", git, methods=["POST"]),
        ]
    return Starlette(routes=routes)
