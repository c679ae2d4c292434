"""The server's addresses: JSON in, JSON out, within limits; a mistake is a status of 400 or more and one sentence."""

import asyncio
from collections.abc import Awaitable, Callable
from functools import partial
from pathlib import Path
from typing import Any

from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from ..errors import InputError, one_line
from ..inputs import parse_json
from .backend import Backend, TooMuch
from .photos import LARGEST_BODY

LARGEST_JSON = 16 << 20
"""Bytes of a request that is JSON."""
Answer = Callable[[Request], Awaitable[Any]]


def application(backend: Backend, say: Callable[[str], None]) -> Starlette:
    """The ASGI application: Label Studio's ``/health``, ``/setup``, ``/predict``, ``/webhook``, ``/train``,
    ``/versions``, and ``/localize``, a photo in."""

    async def localize(request: Request) -> Any:
        tags, masks = request.query_params.getlist("tags"), request.query_params.get("masks") == "1"
        content = await _photo(request)
        return await run_in_threadpool(partial(backend.localize, content, tags, masks=masks))

    async def health(_: Request) -> Any:
        return backend.health()

    async def versions(_: Request) -> Any:
        return backend.versions()

    def of_json(method: Callable[[Any], Any]) -> Answer:
        async def answer(request: Request) -> Any:
            content = await _body(request, LARGEST_JSON)
            return await run_in_threadpool(lambda: method(_parsed(content)))

        return answer

    posts = {name: of_json(getattr(backend, name)) for name in ("setup", "predict", "webhook", "train")}
    posts["localize"] = localize
    gets = {"": health, "health": health, "versions": versions}
    routes = [Route(f"/{name}", _answering(answer, say), methods=["GET"]) for name, answer in gets.items()]
    routes += [Route(f"/{name}", _answering(answer, say), methods=["POST"]) for name, answer in posts.items()]
    return Starlette(routes=routes, exception_handlers={HTTPException: _http_error})


def _answering(answer: Answer, say: Callable[[str], None]) -> Callable[[Request], Awaitable[Response]]:
    """An endpoint of what is answered, or of the mistake."""

    async def endpoint(request: Request) -> Response:
        try:
            if "origin" in request.headers:
                return _error(403, "Pages of a browser may not ask here: Label Studio's server and programs may.")
            return JSONResponse(await answer(request))
        except TooMuch as error:
            return _error(413, str(error))
        except InputError as error:
            return _error(400, str(error))
        except ClientDisconnect:
            return _error(400, "The request was cut off.")
        except asyncio.CancelledError:
            return _error(503, "The server is stopping.")
        except HTTPException:
            raise
        except Exception as error:
            say(f"{request.url.path}: an error of torchbas ({type(error).__name__}: {one_line(error)})")
            return _error(500, f"This is an error of torchbas, not yours ({type(error).__name__}).")

    return endpoint


def _http_error(_: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    return _error(error.status_code, error.detail)


def _error(status: int, sentence: str) -> Response:
    return JSONResponse({"error": sentence}, status)


async def _body(request: Request, largest: int) -> bytes:
    """The request's bytes; refused by their announced length, and again as they come."""
    refused = TooMuch(f"The request is larger than {largest >> 20} MiB.")
    announced = request.headers.get("content-length", "0")
    if not announced.isdigit() or int(announced) > largest:
        raise refused
    content = bytearray()
    async for part in request.stream():
        content += part
        if len(content) > largest:
            raise refused
    return bytes(content)


async def _photo(request: Request) -> bytes:
    """The photo's bytes: the body, or the one file of a form."""
    if not request.headers.get("content-type", "").startswith("multipart/"):
        return await _body(request, LARGEST_BODY)
    content = await _body(request, LARGEST_BODY)
    sent = Request(request.scope, partial(_again, content))
    async with sent.form(max_files=1, max_fields=0) as form:
        for file in form.values():
            if not isinstance(file, str):
                return await file.read()
    raise InputError("The form has no file: send the photo as one, or as the body.")


async def _again(content: bytes) -> dict[str, Any]:
    """The whole body as one message, for a parser that reads it itself."""
    return {"type": "http.request", "body": content, "more_body": False}


def _parsed(content: bytes) -> Any:
    try:
        return parse_json(content.decode("utf-8"), Path("The request"))
    except UnicodeDecodeError as error:
        raise InputError("The request is not in UTF-8.") from error
