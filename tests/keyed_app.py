"""A platform that makes an effect of every write, behind a middleware from the package index that remembers keys.

``python -m tests.keyed_app NAME PORT``: NAME is the distribution of the middleware, ``none``, or ``good`` (one that
stores every outcome together with the effect). POST /things makes an effect and answers as its member ``answer`` says,
PUT /things/{record} changes it, DELETE removes it; GET /effects/{record} tells how many effects there were.
"""

from __future__ import annotations

import asyncio
import sys
from collections import Counter
from collections.abc import Callable

import uvicorn
from fastapi_idempotency import IdempotencyMiddleware as FastapiIdempotency
from fastapi_idempotency_key import IdempotencyMiddleware as FastapiIdempotencyKey
from idempotency_header_middleware import IdempotencyHeaderMiddleware
from idempotency_header_middleware.backends import MemoryBackend
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send

METHODS = ("POST", "PUT", "DELETE")
EFFECTS: Counter[str] = Counter()


async def create(request: Request) -> Response:
    document = await request.json()
    record, answer = str(document["record"]), document.get("answer", "json")
    if answer == "refused":
        return JSONResponse({"detail": "no"}, 400)
    if answer == "busy":
        return JSONResponse({"detail": "later"}, 429)
    EFFECTS[record] += 1
    if answer == "exception":
        raise RuntimeError("after the effect")
    answers: dict[str, Callable[[], Response]] = {
        "json": lambda: JSONResponse({"id": record}, 201),
        "text": lambda: PlainTextResponse("made", 201),
        "no_content": lambda: Response(status_code=204),
        "failed": lambda: JSONResponse({"detail": "after the effect"}, 500),
    }
    return answers[answer]()


async def change(request: Request) -> Response:
    EFFECTS[request.path_params["record"]] += 1
    return JSONResponse({"id": request.path_params["record"]})


async def remove(_request: Request) -> Response:
    return Response(status_code=204)


async def effects(request: Request) -> Response:
    return JSONResponse({"effects": EFFECTS[request.path_params["record"]]})


class Remembering:
    """Every outcome of a key is stored before it is told, errors too; requests with one key wait for each other."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app
        self._outcomes: dict[str, list[Message]] = {}
        self._locks: dict[str, asyncio.Lock] = {}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        key = dict(scope.get("headers", [])).get(b"idempotency-key", b"").decode()
        if scope["type"] != "http" or not key:
            await self._app(scope, receive, send)
            return
        async with self._locks.setdefault(key, asyncio.Lock()):
            if key not in self._outcomes:
                self._outcomes[key] = await self._outcome(scope, receive)
        for message in self._outcomes[key]:
            await send(message)

    async def _outcome(self, scope: Scope, receive: Receive) -> list[Message]:
        messages: list[Message] = []

        async def keep(message: Message) -> None:
            messages.append(message)

        try:
            await self._app(scope, receive, keep)
        except RuntimeError:
            await PlainTextResponse("failed", 500)(scope, receive, keep)
        return messages


def app(middleware: str) -> Starlette:
    """The platform, with the middleware where its documentation puts it."""
    platform = Starlette(routes=ROUTES)

    if middleware == "good":
        platform.add_middleware(Remembering)
    elif middleware == "asgi-idempotency-header":
        platform.add_middleware(IdempotencyHeaderMiddleware, backend=MemoryBackend(), applicable_methods=[*METHODS])  # type: ignore[arg-type]
    elif middleware == "fastapi-idempotency":
        platform.add_middleware(FastapiIdempotency)
    elif middleware == "fastapi-idempotency-key":
        platform.add_middleware(FastapiIdempotencyKey, enforce_methods=METHODS)
    return platform


ROUTES = [
    Route("/things", create, methods=["POST"]),
    Route("/things/{record}", change, methods=["PUT"]),
    Route("/things/{record}", remove, methods=["DELETE"]),
    Route("/effects/{record}", effects),
]

if __name__ == "__main__":
    uvicorn.run(app(sys.argv[1]), host="127.0.0.1", port=int(sys.argv[2]), log_level="critical")
