"""The only way to a cluster's API, as a program that can be killed: then every connection is cut, and nobody is there.

``python -m scripts.survival.gate PORT HOST THERE`` listens on the loopback address and carries bytes, which it does not read.
"""

import asyncio
import contextlib
import sys

_CHUNK = 1 << 16


async def gate(port: int, host: str, there: int) -> None:
    """Until it is killed."""

    async def visit(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError):
            away_reader, away_writer = await asyncio.open_connection(host, there)
            await asyncio.gather(_carry(reader, away_writer), _carry(away_reader, writer))
        writer.close()

    server = await asyncio.start_server(visit, "127.0.0.1", port)
    async with server:
        await server.serve_forever()


async def _carry(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    try:
        while chunk := await reader.read(_CHUNK):
            writer.write(chunk)
            await writer.drain()
    except OSError:
        pass
    finally:
        writer.close()


if __name__ == "__main__":
    asyncio.run(gate(int(sys.argv[1]), sys.argv[2], int(sys.argv[3])))
