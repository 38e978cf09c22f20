"""A request to an ASGI application, without a network."""

import asyncio
from typing import Any

from starlette.types import ASGIApp


def ask(app: ASGIApp, path: str) -> tuple[int, dict[str, str], str]:
    """Status, header and body of the answer to a GET."""
    sent: list[Any] = []

    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": b"", "more_body": False}

    async def send(message: Any) -> None:
        sent.append(message)

    scope = {
        "type": "http",
        "method": "GET",
        "path": path,
        "raw_path": path.encode(),
        "root_path": "",
        "query_string": b"",
        "headers": [],
        "http_version": "1.1",
        "scheme": "http",
        "client": ("192.0.2.7", 1),
        "server": ("127.0.0.1", 80),
    }

    async def answer() -> None:
        await app(scope, receive, send)

    asyncio.run(answer())
    start, *bodies = sent
    header = {name.decode(): value.decode() for name, value in start["headers"]}
    return start["status"], header, b"".join(each.get("body", b"") for each in bodies).decode()
