"""Every error as a status and a body in OpenAI's shape, which its clients can read."""

import logging
from collections.abc import Mapping

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException
from typing_extensions import TypedDict

from mirror_graph.errors import (
    ConfigurationError,
    HostClosedError,
    MessageRefusedError,
    MirrorError,
    NoRoomError,
    ReplyError,
    StorageError,
    ThreadInUseError,
    UnknownConstraintError,
    UnknownMessageError,
)
from mirror_graph.serve.tokens import KeysUnreachableError, TokenRefusedError

log = logging.getLogger(__name__)

STORAGE_PROBLEM = "the database cannot be read or written now: the server's log says why. Try again later"
"""What callers see of an error of the database. Its own words name hosts, users and tables."""

CHALLENGE = {"WWW-Authenticate": "Bearer"}


class ErrorDetail(TypedDict):
    """What happened. `param` names the part of the request that is wrong, and `code` the kind of error."""

    message: str
    type: str
    param: str | None
    code: str | None


class ErrorBody(TypedDict):
    """The body of every answer that is no success."""

    error: ErrorDetail


class ApiError(Exception):
    """An answer that is no success."""

    def __init__(
        self,
        status: int,
        message: str,
        *,
        param: str | None = None,
        code: str | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(message)
        self.status = status
        self.headers = headers
        kind = "invalid_request_error" if status < 500 else "server_error"
        self.body: ErrorBody = {"error": {"message": message, "type": kind, "param": param, "code": code}}


def api_error(error: MirrorError) -> ApiError:
    """Return the answer to an error of the product."""
    message = _words_of(error)
    match error:
        case MessageRefusedError(limit=limit, tokens=tokens) if tokens > limit:
            return ApiError(400, message, param="messages", code="context_length_exceeded")
        case MessageRefusedError():
            return ApiError(400, message, param="messages")
        case TokenRefusedError():
            return ApiError(401, message, code="invalid_token", headers=CHALLENGE)
        case UnknownConstraintError():
            return ApiError(404, message, code="unknown_constraint")
        case ThreadInUseError() | UnknownMessageError():
            return ApiError(409, "the conversation has changed meanwhile: send the request again", code="conflict")
        case NoRoomError():
            return ApiError(409, message, code="no_room")
        # Before the next case: a missing key is a wrong setting too, and not the caller's.
        case StorageError() | HostClosedError() | KeysUnreachableError():
            return ApiError(503, message, code="unavailable", headers={"Retry-After": "5"})
        case ConfigurationError():
            return ApiError(422, message)
        case ReplyError():
            return ApiError(502, message, code="no_reply")
        case _:
            return ApiError(500, message)


def _words_of(error: MirrorError) -> str:
    return STORAGE_PROBLEM if isinstance(error, StorageError) else str(error)


def documented(*statuses: int) -> dict[int | str, dict[str, object]]:
    """Return the errors of a route for its OpenAPI description."""
    return {status: {"model": ErrorBody, "description": _DESCRIPTIONS[status]} for status in statuses}


_DESCRIPTIONS = {
    400: "The request is not valid.",
    401: "Nobody signed in.",
    404: "There is no such thing.",
    409: "It is not possible as things are: a list is full, or a thread has changed meanwhile.",
    422: "A value is not valid.",
    429: "The user asks for more than the server allows: turns in a minute, or tokens in a day.",
    502: "The model gave no reply.",
    503: "The database or the issuer of tokens cannot be reached, or the server is stopping.",
}


def answer_errors(app: FastAPI) -> None:
    """Let `app` answer errors in OpenAI's shape."""

    @app.exception_handler(ApiError)
    async def answer(request: Request, error: ApiError) -> JSONResponse:
        return JSONResponse(error.body, error.status, error.headers)

    @app.exception_handler(MirrorError)
    async def answer_ours(request: Request, error: MirrorError) -> JSONResponse:
        found = api_error(error)
        if found.status >= 500:
            log.error("%s %s: %s", request.method, request.url.path, error)
        return await answer(request, found)

    @app.exception_handler(HTTPException)
    async def answer_frameworks(request: Request, error: HTTPException) -> JSONResponse:
        return await answer(request, ApiError(error.status_code, error.detail, headers=error.headers))

    @app.exception_handler(RequestValidationError)
    async def answer_invalid(request: Request, error: RequestValidationError) -> JSONResponse:
        return await answer(request, invalid_request(error, status=422))


def invalid_request(error: RequestValidationError, *, status: int) -> ApiError:
    """Return the answer to a request that does not fit its model, by its first problem."""
    problem = error.errors()[0]
    place = ".".join(str(part) for part in problem["loc"][1:])
    return ApiError(status, f"{place or 'the request'}: {problem['msg']}", param=place or None)
