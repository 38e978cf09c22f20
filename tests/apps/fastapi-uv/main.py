"""A FastAPI app, locked with uv."""

import asyncio

from fastapi import FastAPI

VERSION = "1"

app = FastAPI()


@app.get("/")
async def index() -> dict[str, str]:
    return {"hello": "from FastAPI", "version": VERSION}


@app.get("/slow")
async def slow(seconds: float = 1) -> dict[str, float]:
    await asyncio.sleep(min(seconds, 20))
    return {"slept": seconds}
