"""What is raised while a request is answered, as DeepInfra's error responses."""

from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response

from langchain_voxtral.errors import VoxtralAudioError
from langchain_voxtral.local.api.responses import json_response
from langchain_voxtral.local.errors import ErrorResponse


async def _error_response(_: Request, error: Exception) -> Response:
    if not isinstance(error, ErrorResponse):
        raise error
    return json_response(error.status, error.body, error.headers)


async def _bad_recording(request: Request, error: Exception) -> Response:
    if not isinstance(error, VoxtralAudioError):
        raise error
    if "model" in request.path_params:  # the native route
        return json_response(400, {"detail": error.message})
    fields = {"type": "invalid_request_error", "param": None, "code": None}
    return json_response(400, {"error": {"message": error.message, **fields}})


async def _client_disconnected(_: Request, __: Exception) -> Response:
    # Nobody reads it; but unhandled, it would be logged as a failure of the server.
    message = "The request ended before its body was whole"
    return json_response(400, {"error": {"message": message}})


async def _http_exception(_: Request, error: Exception) -> Response:
    if not isinstance(error, HTTPException):
        raise error
    headers = dict(error.headers) if error.headers else None
    return json_response(error.status_code, {"detail": error.detail}, headers)


ERROR_HANDLERS = {
    ErrorResponse: _error_response,
    VoxtralAudioError: _bad_recording,
    HTTPException: _http_exception,
    ClientDisconnect: _client_disconnected,
}
"""By the class of what is raised, as Starlette takes them."""
