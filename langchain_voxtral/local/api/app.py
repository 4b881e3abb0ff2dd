"""The embedded server as an ASGI application: DeepInfra's documented routes on one model."""

import secrets
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

from langchain_voxtral.errors import VoxtralMissingExtraError
from langchain_voxtral.local.api.addresses import LOOPBACK_NAMES
from langchain_voxtral.local.api.body import MAX_BODY_BYTES, read_body, too_large
from langchain_voxtral.local.api.chat_audio import Spoken, take_recordings, write_down
from langchain_voxtral.local.api.chat_messages import to_reading
from langchain_voxtral.local.api.chat_requests import ChatRequest
from langchain_voxtral.local.api.chat_responses import Completion, CompletionStream, Form
from langchain_voxtral.local.api.gate import AccessControl
from langchain_voxtral.local.api.requests import MAX_NEW_TOKENS, parse_request, read_json, validate
from langchain_voxtral.local.api.responses import EventStream, JsonAnswer
from langchain_voxtral.local.api.sending import json_bytes, while_connected
from langchain_voxtral.local.api.speech_requests import (
    MAX_FORM_BYTES,
    NativeForm,
    OpenAIForm,
    TranscriptionForm,
    TranslationForm,
    is_form,
    read_form,
)
from langchain_voxtral.local.api.speech_responses import SpeechAnswer
from langchain_voxtral.local.engine.generation import Generation, engine_fields
from langchain_voxtral.local.engine.hearing import SpeechTask, SpeechWorker
from langchain_voxtral.local.engine.scheduler import Scheduler
from langchain_voxtral.local.engine.speech import SPEECH_IDS, SPEECH_MODEL, require_extra
from langchain_voxtral.local.errors import ErrorResponse
from langchain_voxtral.local.models import LocalModel, choose_file, load
from langchain_voxtral.local.prompting.tasks import plan_input, plan_task

try:
    from starlette.applications import Starlette
    from starlette.exceptions import HTTPException
    from starlette.requests import ClientDisconnect, Request
    from starlette.responses import Response
    from starlette.routing import Route
except ImportError as error:
    raise VoxtralMissingExtraError("starlette") from error

if TYPE_CHECKING:
    from starlette.types import Message, Receive, Scope, Send

__all__ = ["App", "create_app"]

KEEP_ALIVE_SECONDS = 5.0

_INFERENCE = "/v1/inference/"
_NO_MODEL = {"error": "Model not found"}


class App:
    """The ASGI application; `create_app` makes one from a file.

    Args:
        model: A loaded model.
        api_key: The bearer that inference requests must carry; "" asks for none.
        hosts: Names that the Host header may have, whatever its port; None: any. A web page
            whose name was rebound to this address is told apart by it.
        queue_size: Requests that may wait while one is answered.
        max_body_bytes: Size limit of a request's text.
        max_form_bytes: Size limit of a form with a recording, and of the recordings in a chat.
        keep_alive: Seconds without a token after which a stream gets a comment line.
    """

    def __init__(
        self,
        model: LocalModel,
        *,
        api_key: str = "",
        hosts: Iterable[str] | None = LOOPBACK_NAMES,
        queue_size: int = 16,
        max_body_bytes: int = MAX_BODY_BYTES,
        max_form_bytes: int = MAX_FORM_BYTES,
        keep_alive: float = KEEP_ALIVE_SECONDS,
    ) -> None:
        self.model = model
        self._gate = AccessControl(api_key, hosts)
        self._max_body_bytes = max_body_bytes
        self._max_form_bytes = max_form_bytes
        self._keep_alive = keep_alive
        self._worker = Scheduler(queue_size)
        self._ears = SpeechWorker(queue_size)
        self._routes = routes = Starlette(
            routes=[
                Route(_INFERENCE + "{model:path}", self._infer, methods=["POST"]),
                Route("/v1/openai/chat/completions", self._chat, methods=["POST"]),
                Route("/v1/chat/completions", self._chat, methods=["POST"]),
                *(
                    Route(f"/v1/{place}audio/{route}", endpoint, methods=["POST"])
                    for place in ("openai/", "")
                    for route, endpoint in (
                        ("transcriptions", self._transcribe),
                        ("translations", self._translate),
                    )
                ),
                Route("/v1/openai/models", self._list_models),
                Route("/v1/openai/models/{model:path}", self._tell_model),
                Route("/v1/models", self._list_models),
                Route("/v1/models/{model:path}", self._tell_model),
                Route("/health", self._health),
            ],
            exception_handlers={
                ErrorResponse: _refused,
                HTTPException: _no_route,
                ClientDisconnect: _cut_off,
            },
        )
        # No path leads elsewhere: an unknown one is 404, with or without a slash at its end.
        routes.router.redirect_slashes = False

    async def __call__(self, scope: "Scope", receive: "Receive", send: "Send") -> None:
        """Answer one request."""
        if scope["type"] != "http":
            await self._routes(scope, receive, send)
            return
        scope["voxtral.request_id"] = request_id = secrets.token_hex(12)
        scope["voxtral.model"] = self.model.name

        async def send_named(message: "Message") -> None:
            if message["type"] == "http.response.start":
                message["headers"] = [
                    *message["headers"],
                    (b"x-request-id", request_id.encode()),
                    (b"x-voxtral-model", scope["voxtral.model"].encode("ascii", "replace")),
                ]
            await send(message)

        refusal = self._gate.refusal(scope)
        await (_told(refusal) if refusal else self._routes)(scope, receive, send_named)

    def close(self, patience: float = 0.0) -> None:
        """Take no more requests and wait up to `patience` seconds for the one that runs."""
        self._worker.close(patience)
        self._ears.close(patience)

    async def _infer(self, request: Request) -> Any:
        if is_form(request):
            return await self._hear(request, NativeForm)
        if request.path_params["model"] not in self.model.ids:
            raise ErrorResponse(404, _NO_MODEL)
        wanted = parse_request(await read_body(request, self._max_body_bytes))
        task = plan_input(wanted, self.model.template)
        fields = engine_fields(task.prompt, wanted, self.model, task.constraint)
        generation = Generation(self.model.engine, self._worker, fields)
        asked = (generation, task, request.scope["voxtral.request_id"])
        if wanted.stream:
            return EventStream(*asked, keep_alive=self._keep_alive)
        return JsonAnswer(*asked, responses=len(fields))

    async def _chat(self, request: Request) -> Any:
        in_base64 = 4 * self._max_form_bytes // 3
        written = await read_body(request, self._max_body_bytes + in_base64)
        body = read_json(written)
        spoken = take_recordings(body)
        if len(written) - sum(one.size for one in spoken) > self._max_body_bytes:
            raise too_large(self._max_body_bytes)
        del written
        wanted = validate(body, ChatRequest)
        if wanted.model not in self.model.ids:
            raise ErrorResponse(404, _NO_MODEL)
        if spoken:
            await self._write_down(request, spoken)
            wanted = validate(body, ChatRequest)
        reading = to_reading(wanted.messages, wanted.offered)
        task = plan_task(reading, self.model.template, wanted.response_format, choice=wanted.choice)
        fields = engine_fields(task.prompt, wanted, self.model, task.constraint)
        generation = Generation(self.model.engine, self._worker, fields)
        asked = (generation, task.constraint, request.scope["voxtral.request_id"])
        form = Form(
            self.model.name,
            tool_names=task.tool_names,
            logprobs=wanted.logprobs,
            usage=wanted.stream_options.include_usage,
        )
        if wanted.stream:
            return CompletionStream(*asked, keep_alive=self._keep_alive, form=form)
        return Completion(*asked, responses=len(fields), form=form)

    async def _write_down(self, request: Request, spoken: Sequence[Spoken]) -> None:
        require_extra()

        async def heard(sound: BinaryIO) -> str:
            with SpeechTask(self._ears, sound) as hearing:
                return (await hearing.result()).text

        if not await while_connected(request.receive, write_down(spoken, heard)):
            raise ClientDisconnect

    async def _transcribe(self, request: Request) -> SpeechAnswer:
        return await self._hear(request, TranscriptionForm)

    async def _translate(self, request: Request) -> SpeechAnswer:
        return await self._hear(request, TranslationForm)

    async def _hear(
        self, request: Request, kind: type[NativeForm] | type[OpenAIForm]
    ) -> SpeechAnswer:
        request.scope["voxtral.model"] = SPEECH_MODEL
        require_extra()
        form, file = await read_form(request, kind, self._max_form_bytes)
        named = form.model if isinstance(form, OpenAIForm) else request.path_params["model"]
        if named not in SPEECH_IDS:
            file.close()
            raise ErrorResponse(404, _NO_MODEL)
        return SpeechAnswer(self._ears, file, form, request.scope["voxtral.request_id"])

    async def _list_models(self, _: Request) -> Response:
        return _json(200, {"object": "list", "data": list(map(self._listed, self.model.ids))})

    async def _tell_model(self, request: Request) -> Response:
        name = request.path_params["model"]
        if name not in self.model.ids:
            raise ErrorResponse(404, _NO_MODEL)
        return _json(200, self._listed(name))

    def _listed(self, name: str) -> dict[str, object]:
        metadata = {
            "description": f"{self.model.name}, on this machine",
            "context_length": self.model.engine.n_ctx,
            "max_tokens": min(self.model.engine.n_ctx, MAX_NEW_TOKENS),
            "pricing": {"input_tokens": 0.0, "output_tokens": 0.0},
            "tags": [],
        }
        return {
            "id": name,
            "object": "model",
            "created": 0,  # it is not known
            "owned_by": "voxtral-local",
            "metadata": metadata,
        }

    async def _health(self, _: Request) -> Response:
        return _json(200, {"status": "ok", "model": self.model.name})


def create_app(
    *,
    model: str | Path | None = None,
    n_ctx: int = 4096,
    **settings: Any,
) -> App:
    """Load a model and return the application that serves it, for a server of your own.

    Args:
        model: A GGUF file; SmolLM2-135M-Instruct by default, its weights fetched if need be.
        n_ctx: Context, in tokens.
        **settings: Further arguments of `App`.

    Raises:
        VoxtralLocalError: The model cannot be had or loaded.
        VoxtralMissingExtraError: The `local` extra is not installed.

    Example:
        ```python
        import uvicorn
        from langchain_voxtral.local import create_app

        uvicorn.run(create_app(), port=8200)
        ```
    """
    return App(load(choose_file(model), n_ctx=n_ctx), **settings)


def _json(status: int, body: object, headers: dict[str, str] | None = None) -> Response:
    return Response(json_bytes(body), status, headers, media_type="application/json")


async def _refused(_: Request, refusal: Exception) -> Response:
    if not isinstance(refusal, ErrorResponse):
        raise refusal
    return _told(refusal)


def _told(refusal: ErrorResponse) -> Response:
    return _json(refusal.status, refusal.body, refusal.headers)


async def _cut_off(_: Request, __: Exception) -> Response:
    # Nobody reads it; but unhandled, a client that goes away would be logged as our failure.
    return _json(400, {"error": {"message": "The request ended before its body was whole"}})


async def _no_route(_: Request, error: Exception) -> Response:
    if not isinstance(error, HTTPException):
        raise error
    headers = dict(error.headers) if error.headers else None
    return _json(error.status_code, {"detail": error.detail}, headers)
