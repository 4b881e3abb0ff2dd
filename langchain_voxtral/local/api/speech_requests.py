"""Multipart forms with a recording: of `POST /v1/inference/{model}` and OpenAI's audio routes.

Fields and ranges are those of DeepInfra's schemas. Which languages there are, the model knows.
"""

from collections.abc import AsyncGenerator, Iterable
from typing import TYPE_CHECKING, Annotated, BinaryIO, ClassVar, Literal, Self, TypeVar

from pydantic import AfterValidator, Field, ValidationError, field_validator, model_validator
from starlette.datastructures import Headers
from starlette.formparsers import MultiPartException, MultiPartParser

from langchain_voxtral.local.api.requests import media_type, refuse_encoded
from langchain_voxtral.local.engine.whisper import MAX_SEGMENT_SECONDS, SpeechSettings
from langchain_voxtral.local.errors import ErrorResponse
from langchain_voxtral.local.response_formats import StrictModel

if TYPE_CHECKING:
    from starlette.datastructures import FormData
    from starlette.requests import Request

MAX_FORM_BYTES = 25 * 2**20
"""OpenAI's and vLLM's limit of a recording."""

Level = Literal["segment", "word"]

_LIST = "timestamp_granularities"

Prompt = Annotated[str, AfterValidator(lambda prompt: prompt[-4000:])]
"""Whisper reads the last 223 tokens of a prompt, which are fewer characters than these."""


class SpeechForm(StrictModel):
    """Fields that all forms have."""

    file_field: ClassVar[str]
    prompt: Prompt = ""
    temperature: float = Field(0, ge=0, le=1)

    @property
    def settings(self) -> SpeechSettings:
        """What the request asks of the engine."""
        raise NotImplementedError


class NativeForm(SpeechForm):
    """The form of DeepInfra's native route; `chunk_length_s` limits the segments here."""

    file_field = "audio"
    task: Literal["transcribe", "translate"] = "transcribe"
    language: str | None = None
    prompt: Prompt = Field("", validation_alias="initial_prompt")
    chunk_level: Level = "segment"
    chunk_length_s: int | None = Field(None, ge=1, le=30)
    webhook: str | None = None

    @property
    def settings(self) -> SpeechSettings:
        """What the request asks of the engine."""
        return SpeechSettings(
            self.task,
            self.language,
            self.prompt,
            self.temperature,
            has_words=self.chunk_level == "word",
            max_segment_seconds=self.chunk_length_s or MAX_SEGMENT_SECONDS,
        )

    @field_validator("webhook")
    @classmethod
    def _refuse_webhook(cls, _: str) -> str:
        raise ValueError("webhook is not offered by the embedded engine")


class OpenAIForm(SpeechForm):
    """Fields that the forms of OpenAI's audio routes have."""

    file_field = "file"
    task: ClassVar[Literal["transcribe", "translate"]]
    model: str
    response_format: Literal["json", "verbose_json", "text", "srt", "vtt"] = "json"


class TranscriptionForm(OpenAIForm):
    """The form of OpenAI's transcriptions."""

    task = "transcribe"
    language: str | None = None
    timestamp_granularities: tuple[Level, ...] = ()

    @property
    def settings(self) -> SpeechSettings:
        """What the request asks of the engine."""
        has_words = "word" in self.timestamp_granularities
        return SpeechSettings(
            self.task, self.language, self.prompt, self.temperature, has_words=has_words
        )

    @model_validator(mode="after")
    def _check_combination(self) -> Self:
        if self.timestamp_granularities and self.response_format != "verbose_json":
            raise ValueError("timestamp_granularities need response_format verbose_json")
        return self


class TranslationForm(OpenAIForm):
    """The form of OpenAI's translations, which are into English."""

    task = "translate"

    @property
    def settings(self) -> SpeechSettings:
        """What the request asks of the engine."""
        return SpeechSettings(self.task, prompt=self.prompt, temperature=self.temperature)


_Form = TypeVar("_Form", bound=SpeechForm)


def is_form(request: "Request") -> bool:
    """Return whether a request's body is a multipart form."""
    return media_type(request) == "multipart/form-data"


async def read_form(request: "Request", model: type[_Form]) -> tuple[_Form, BinaryIO]:
    """Read a form; its recording is in a temporary file, which the caller closes.

    Raises:
        ErrorResponse: 415, the body is no form, or compressed; 400, it is ill-formed; 422, with
            a `detail` for each error.
    """
    if not is_form(request):
        given = media_type(request) or "an untyped body"
        message = f"A recording is sent as multipart/form-data, not as {given}"
        raise ErrorResponse.with_message(415, message)
    refuse_encoded(request)
    try:
        data = await _Parser(request).parse()
    except MultiPartException as error:
        message = f"The form is ill-formed: {error.message}"
        raise ErrorResponse.with_message(400, message) from error
    except (ValueError, LookupError) as error:  # older Starlettes let these through
        message = "The form is ill-formed: Invalid multipart data."
        raise ErrorResponse.with_message(400, message) from error
    try:
        return _validate(data, model)
    except BaseException:
        await data.close()
        raise


class _Parser(MultiPartParser):
    """Starlette's parser, but a form that is cut short is an error, and all text is UTF-8.

    RFC 7578 has no `charset` in a form's type. With one, Starlette would decode by any of Python's
    codecs, some of which take quadratic time or make text that UTF-8 cannot encode.
    """

    def __init__(self, request: "Request") -> None:
        super().__init__(_boundary_only(request), self._whole(request), max_files=1, max_fields=32)
        self._ended = False

    def on_end(self) -> None:
        self._ended = True

    async def _whole(self, request: "Request") -> AsyncGenerator[bytes, None]:
        async for chunk in request.stream():
            yield chunk
        if not self._ended:
            raise MultiPartException("It is cut short: the closing boundary is missing.")


def _boundary_only(request: "Request") -> Headers:
    """Return the type of a form without any parameter but the boundary."""
    from python_multipart.multipart import parse_options_header  # noqa: PLC0415 - an extra

    _, options = parse_options_header(request.headers["content-type"])
    boundary = options.get(b"boundary")
    parameter = b"" if boundary is None else b'; boundary="%b"' % boundary
    return Headers(raw=[(b"content-type", b"multipart/form-data" + parameter)])


def _validate(data: "FormData", model: type[_Form]) -> tuple[_Form, BinaryIO]:
    file, texts = None, dict[str, list[str]]()
    details = []
    for name, value in data.multi_items():
        if isinstance(value, str):
            texts.setdefault(name.replace(f"{_LIST}[]", _LIST), []).append(value)
        elif name == model.file_field:
            file = value.file
        else:
            details.append(_detail("extra_forbidden", [name], "A file is not permitted here", None))
    if file is None:
        is_text = texts.pop(model.file_field, None) is not None
        message = "Input should be a file" if is_text else "Field required: a file"
        details.append(_detail("missing", [model.file_field], message, None))
    # A field that comes more than once stays a list, which only one field may be.
    fields = {
        name: values if name == _LIST or len(values) > 1 else values[0]
        for name, values in texts.items()
    }
    try:
        form = model.model_validate(fields)
    except ValidationError as error:
        for one in error.errors(include_url=False, include_context=False, include_input=False):
            sent = fields.get(str(one["loc"][0])) if one["loc"] else fields
            details.append(_detail(one["type"], one["loc"], one["msg"], sent))
    if file is None or details:
        raise ErrorResponse(422, {"detail": details})
    return form, file


def _detail(
    kind: str, location: Iterable[int | str], message: str, sent: object
) -> dict[str, object]:
    return {"type": kind, "loc": ["body", *location], "msg": message, "input": sent}
