"""The embedded server as an ASGI application: DeepInfra's documented routes for one model."""

import asyncio
import secrets
from collections.abc import Iterable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

from langchain_voxtral.errors import VoxtralMissingExtraError

try:
    from starlette.applications import Starlette
    from starlette.requests import Request
    from starlette.responses import Response
    from starlette.routing import Route
except ImportError as error:
    raise VoxtralMissingExtraError("starlette") from error

from langchain_voxtral.local.api.access import LOOPBACK_NAMES, AccessControl
from langchain_voxtral.local.api.chat_audio import AudioReference, extract_audio, insert_transcripts
from langchain_voxtral.local.api.chat_requests import ChatRequest
from langchain_voxtral.local.api.chat_responses import ChatFormat
from langchain_voxtral.local.api.error_handlers import ERROR_HANDLERS
from langchain_voxtral.local.api.requests import (
    MAX_BODY_BYTES,
    InferenceRequest,
    Sampling,
    limit_body,
    parse_body,
    parse_json,
    read_body,
    too_large,
    validate,
)
from langchain_voxtral.local.api.responses import (
    AnswerFormat,
    EventStreamAnswer,
    Generation,
    NativeFormat,
    cancel_on_disconnect,
    engine_errors,
    json_answer,
    json_response,
)
from langchain_voxtral.local.api.speech_requests import (
    MAX_FORM_BYTES,
    NativeForm,
    OpenAIForm,
    TranscriptionForm,
    TranslationForm,
    is_form,
    read_form,
)
from langchain_voxtral.local.api.speech_responses import speech_response
from langchain_voxtral.local.api.tokenize_requests import TokenizeRequest
from langchain_voxtral.local.engine.scheduler import TextWorker
from langchain_voxtral.local.engine.speech import (
    SpeechEngine,
    SpeechResult,
    require_speech_support,
)
from langchain_voxtral.local.engine.speech_worker import SpeechWorker
from langchain_voxtral.local.engine.whisper import SpeechSettings
from langchain_voxtral.local.errors import ErrorResponse
from langchain_voxtral.local.models import VOXTRAL, TextModel
from langchain_voxtral.local.prompting.tool_calling import ModelInput, plan_chat, plan_native
from langchain_voxtral.local.response_formats import MAX_NEW_TOKENS

if TYPE_CHECKING:
    from starlette.types import Message, Receive, Scope, Send

KEEP_ALIVE_SECONDS = 5.0

_INFERENCE = "/v1/inference/"
_NO_MODEL = {"error": "Model not found"}


class App:
    """The ASGI application; `create_app` makes one from a file.

    Args:
        model: The language model, loaded for the first request of a text if it is not.
        speech: The same for recordings.
        api_key: The bearer that inference requests must carry; "" asks for none.
        hosts: Names that the Host header may have, whatever its port; None: any. They protect
            against web pages whose name is rebound to this address.
        queue_size: Requests that may wait while one is answered.
        max_body_bytes: Size limit of a request's text.
        max_form_bytes: Size limit of a form with a recording, and of the recordings in a chat.
        keep_alive: Seconds without a token after which a stream gets a comment line.
    """

    def __init__(
        self,
        model: TextModel,
        speech: SpeechEngine,
        *,
        api_key: str = "",
        hosts: Iterable[str] | None = LOOPBACK_NAMES,
        queue_size: int = 16,
        max_body_bytes: int = MAX_BODY_BYTES,
        max_form_bytes: int = MAX_FORM_BYTES,
        keep_alive: float = KEEP_ALIVE_SECONDS,
    ) -> None:
        self.model = model
        self.speech = speech
        self._access = AccessControl(api_key, hosts)
        self._max_body_bytes = max_body_bytes
        self._max_form_bytes = max_form_bytes
        self._keep_alive = keep_alive
        self._text = TextWorker(model, queue_size)
        self._speech = SpeechWorker(speech, queue_size)
        transcribe = partial(self._speech_response, form_type=TranscriptionForm)
        translate = partial(self._speech_response, form_type=TranslationForm)
        self._starlette = Starlette(
            routes=[
                Route(_INFERENCE + "{model:path}", self._infer, methods=["POST"]),
                Route("/v1/tokenize", self._tokenize, methods=["POST"]),
                *(
                    route
                    for base in ("/v1/openai/", "/v1/")
                    for route in (
                        Route(f"{base}chat/completions", self._chat, methods=["POST"]),
                        Route(f"{base}audio/transcriptions", transcribe, methods=["POST"]),
                        Route(f"{base}audio/translations", translate, methods=["POST"]),
                        Route(f"{base}models", self._list_models),
                        Route(f"{base}models/{{model:path}}", self._show_model),
                    )
                ),
                Route("/health", self._health),
            ],
            exception_handlers=ERROR_HANDLERS,
        )
        # An unknown path is 404, with or without a slash at its end.
        self._starlette.router.redirect_slashes = False

    async def __call__(self, scope: "Scope", receive: "Receive", send: "Send") -> None:
        """Answer one request."""
        if scope["type"] != "http":
            await self._starlette(scope, receive, send)
            return
        scope["voxtral.request_id"] = request_id = secrets.token_hex(12)
        scope["voxtral.model"] = self.model.name

        async def send_with_headers(message: "Message") -> None:
            if message["type"] == "http.response.start":
                message["headers"] = [
                    *message["headers"],
                    (b"x-request-id", request_id.encode()),
                    (b"x-voxtral-model", scope["voxtral.model"].encode("ascii", "replace")),
                ]
            await send(message)

        try:
            self._access.check(scope)
        except ErrorResponse as error:
            response = json_response(error.status, error.body)
            await response(scope, receive, send_with_headers)
        else:
            await self._starlette(scope, receive, send_with_headers)

    def close(self, timeout: float = 0.0) -> None:
        """Take no more requests and wait up to `timeout` seconds for those that run."""
        self._text.close(timeout)
        self._speech.close(timeout)

    # Text

    async def _infer(self, request: Request) -> Response:
        if is_form(request):
            return await self._speech_response(request, NativeForm)
        self._check_model(request.path_params["model"])
        raw = await read_body(_limited(request, self._max_body_bytes))
        inference = await asyncio.to_thread(parse_body, raw, InferenceRequest)
        await self._load_model(request)
        model_input = await asyncio.to_thread(plan_native, inference, self.model.template)
        answer_format = NativeFormat(model_input.prefix, _request_id(request))
        return await self._answer(request, inference, model_input, answer_format)

    async def _chat(self, request: Request) -> Response:
        max_base64_bytes = 4 * self._max_form_bytes // 3
        raw = await read_body(_limited(request, self._max_body_bytes + max_base64_bytes))
        body, audio, chat = await asyncio.to_thread(_read_chat, raw, self._max_body_bytes)
        del raw
        self._check_model(chat.model)
        await self._load_model(request)
        if audio:
            require_speech_support()

            transcribe = partial(self._transcript, request)
            await insert_transcripts(audio, transcribe, translate=self.model.is_default)
            chat = await asyncio.to_thread(validate, body, ChatRequest)
        model_input = await asyncio.to_thread(
            plan_chat,
            chat.conversation(),
            self.model.template,
            chat.response_format,
            tool_choice=chat.choice,
        )
        answer_format = ChatFormat(
            self.model.name,
            _request_id(request),
            tool_names=model_input.tool_names,
            logprobs=chat.logprobs,
            usage=chat.stream_options.include_usage,
        )
        return await self._answer(request, chat, model_input, answer_format)

    async def _tokenize(self, request: Request) -> Response:
        raw = await read_body(_limited(request, self._max_body_bytes))
        tokenizing = await asyncio.to_thread(TokenizeRequest, raw)
        self._check_model(tokenizing.model)
        await self._load_model(request)
        with engine_errors(_request_id(request)):
            tokens = await asyncio.to_thread(tokenizing.tokens, self.model)
        body = {"count": len(tokens), "max_model_len": self.model.n_ctx, "tokens": tokens}
        return json_response(200, body)

    async def _load_model(self, request: Request) -> None:
        with engine_errors(_request_id(request)):
            await self._text.load()

    async def _answer(
        self,
        request: Request,
        sampling: Sampling,
        model_input: ModelInput,
        answer_format: AnswerFormat,
    ) -> Response:
        constraint = model_input.constraint
        fields = sampling.engine_requests(model_input.prompt, self.model, constraint)
        generation = Generation(
            self._text.generate(fields), len(fields), constraint, _request_id(request)
        )
        if sampling.stream:
            return EventStreamAnswer(generation, answer_format, keep_alive=self._keep_alive)
        return await json_answer(request.receive, generation, answer_format)

    # Speech

    async def _speech_response(
        self, request: Request, form_type: type[NativeForm] | type[OpenAIForm]
    ) -> Response:
        request.scope["voxtral.model"] = name = self.speech.name
        require_speech_support()
        form, file = await read_form(_limited(request, self._max_form_bytes), form_type)
        model = form.model if isinstance(form, OpenAIForm) else request.path_params["model"]
        if model not in {VOXTRAL, name}:
            file.close()
            raise ErrorResponse(404, _NO_MODEL)
        result = await self._transcript(request, file, form.settings)
        return speech_response(result, form, _request_id(request))

    async def _transcript(
        self, request: Request, file: BinaryIO, settings: SpeechSettings
    ) -> SpeechResult:
        async def transcribe() -> SpeechResult:
            with engine_errors(_request_id(request)):
                return await self._speech.transcribe(file, settings)

        return await cancel_on_disconnect(request.receive, transcribe())

    # Models

    async def _list_models(self, _: Request) -> Response:
        models = list(map(self._model_entry, self.model.ids))
        return json_response(200, {"object": "list", "data": models})

    async def _show_model(self, request: Request) -> Response:
        name = request.path_params["model"]
        self._check_model(name)
        return json_response(200, self._model_entry(name))

    async def _health(self, _: Request) -> Response:
        return json_response(200, {"status": "ok", "model": self.model.name})

    def _check_model(self, name: str) -> None:
        if name not in self.model.ids:
            raise ErrorResponse(404, _NO_MODEL)

    def _model_entry(self, name: str) -> dict[str, object]:
        n_ctx = self.model.n_ctx
        return {
            "id": name,
            "object": "model",
            "created": 0,  # it is not known
            "owned_by": "voxtral-local",
            "metadata": {
                "description": f"{self.model.name}, on this machine",
                "context_length": n_ctx,
                "max_tokens": min(n_ctx, MAX_NEW_TOKENS),
                "pricing": {"input_tokens": 0.0, "output_tokens": 0.0},
                "tags": [],
            },
        }


def create_app(
    *,
    model: str | Path | None = None,
    speech_model: str | None = None,
    n_ctx: int = 4096,
    **settings: Any,
) -> App:
    """Load a model and return the application that serves it, for a server of your own.

    Args:
        model: A GGUF file; SmolLM2-135M-Instruct by default, its weights fetched if need be.
        speech_model: What transcribes: the folder of a Whisper model for CTranslate2, or one of
            faster-whisper's own names; Whisper base by default. Loaded for the first recording.
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
    text_model = TextModel(model, n_ctx=n_ctx)
    text_model.load()
    return App(text_model, SpeechEngine(speech_model), **settings)


def _request_id(request: Request) -> str:
    return str(request.scope["voxtral.request_id"])


def _limited(request: Request, max_bytes: int) -> Request:
    return Request(request.scope, limit_body(request.receive, max_bytes))


def _read_chat(raw: bytes, max_bytes: int) -> tuple[Any, list[AudioReference], ChatRequest]:
    """Return the parsed body without its recordings, these, and the request."""
    body = parse_json(raw)
    audio = extract_audio(body)
    if len(raw) - sum(one.size for one in audio) > max_bytes:
        raise too_large(max_bytes)
    return body, audio, validate(body, ChatRequest)
