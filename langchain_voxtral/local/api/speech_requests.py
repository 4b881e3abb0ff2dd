"""Forms with a recording: of `POST /v1/inference/{model}` and of OpenAI's audio routes.

Fields and ranges are those of DeepInfra's schemas. A field that is not known is refused (422),
and so is what Moonshine cannot do: languages other than English, times of words. A prompt and a
temperature are taken and change nothing, since it has neither; the answer's header
`x-voxtral-ignored` names them.
"""

from collections.abc import AsyncGenerator, Iterable
from typing import Annotated, BinaryIO, ClassVar, Literal, Self, TypeVar

from pydantic import AfterValidator, Field, ValidationError, field_validator, model_validator

from langchain_voxtral.errors import VoxtralMissingExtraError
from langchain_voxtral.local.api.body import media_type, within
from langchain_voxtral.local.api.requests import StrictModel
from langchain_voxtral.local.engine.speech import LANGUAGE
from langchain_voxtral.local.errors import ErrorResponse

try:
    from starlette.datastructures import FormData
    from starlette.formparsers import MultiPartException, MultiPartParser
    from starlette.requests import Request
except ImportError as error:
    raise VoxtralMissingExtraError("starlette") from error

__all__ = [
    "MAX_FORM_BYTES",
    "NativeForm",
    "OpenAIForm",
    "SpeechForm",
    "TranscriptionForm",
    "TranslationForm",
    "is_form",
    "read_form",
]

MAX_FORM_BYTES = 25 * 2**20
"""OpenAI's and vLLM's limit of a recording."""

_LIST = "timestamp_granularities"


def _english(language: str) -> str:
    if language != LANGUAGE:
        raise ValueError(
            f"the embedded engine hears English only ({LANGUAGE!r}); other languages need Voxtral"
        )
    return language


def _segments_only(level: str) -> str:
    if level == "word":
        raise ValueError("the embedded engine tells the times of segments only, not of words")
    return level


Language = Annotated[str, AfterValidator(_english)]
Level = Annotated[Literal["segment", "word"], AfterValidator(_segments_only)]


class SpeechForm(StrictModel):
    """What a client may ask for, whatever the route."""

    file_field: ClassVar[str]
    prompt: str = ""
    temperature: float = Field(0, ge=0, le=1)

    @property
    def ignored(self) -> tuple[str, ...]:
        """What was asked for and changes nothing."""
        asked = {"prompt": self.prompt, "temperature": self.temperature}
        return tuple(name for name, value in asked.items() if value)


class NativeForm(SpeechForm):
    """The form of DeepInfra's native route; `chunk_length_s` bounds the segments here."""

    file_field = "audio"
    task: Literal["transcribe", "translate"] = "transcribe"
    language: Language | None = None
    prompt: str = Field("", validation_alias="initial_prompt")
    chunk_level: Level = "segment"
    chunk_length_s: int | None = Field(None, ge=1, le=30)
    webhook: str | None = None

    @field_validator("webhook")
    @classmethod
    def _refuse_webhook(cls, _: str) -> str:
        raise ValueError("webhook is not offered by the embedded engine")


class OpenAIForm(SpeechForm):
    """What OpenAI's audio routes share."""

    file_field = "file"
    task: ClassVar[Literal["transcribe", "translate"]]
    model: str
    response_format: Literal["json", "verbose_json", "text", "srt", "vtt"] = "json"


class TranscriptionForm(OpenAIForm):
    """The form of OpenAI's transcriptions."""

    task = "transcribe"
    language: Language | None = None
    timestamp_granularities: tuple[Level, ...] = ()

    @model_validator(mode="after")
    def _check_combination(self) -> Self:
        if self.timestamp_granularities and self.response_format != "verbose_json":
            raise ValueError("timestamp_granularities need response_format verbose_json")
        return self


class TranslationForm(OpenAIForm):
    """The form of OpenAI's translations, which are into English."""

    task = "translate"


_Form = TypeVar("_Form", bound=SpeechForm)


def is_form(request: Request) -> bool:
    """Tell whether a request's body is a multipart form."""
    return media_type(request) == "multipart/form-data"


async def read_form(request: Request, kind: type[_Form], limit: int) -> tuple[_Form, BinaryIO]:
    """Read a form; its recording goes to a temporary file, which the caller closes.

    Args:
        request: The request.
        kind: What the form is to be.
        limit: Bytes that the whole body may have.

    Raises:
        ErrorResponse: 413, it is larger; 415, it is no form, or packed; 400, it is ill-formed; 422
            with one `detail` entry for each fault, as DeepInfra answers.
    """
    if not is_form(request):
        given = media_type(request) or "an untyped body"
        raise ErrorResponse.with_message(
            415, f"A recording is sent as multipart/form-data, not as {given}"
        )
    if (packing := request.headers.get("content-encoding", "identity")) != "identity":
        raise ErrorResponse.with_message(
            415, f"Content-Encoding {packing!r} is not supported with a form"
        )
    try:
        sent = await _Parser(within(request, limit)).parse()
    except MultiPartException as error:
        raise ErrorResponse.with_message(400, f"The form is ill-formed: {error.message}") from error
    except (ValueError, LookupError) as error:  # older Starlettes let these through
        raise ErrorResponse.with_message(
            400, "The form is ill-formed: Invalid multipart data."
        ) from error
    try:
        return _validated(sent, kind)
    except BaseException:
        await sent.close()
        raise


class _Parser(MultiPartParser):
    """Starlette's parser, but a form that is cut short is refused, not read as far as it goes."""

    def __init__(self, request: Request) -> None:
        super().__init__(request.headers, self._whole(request), max_files=1, max_fields=32)
        self._ended = False

    def on_end(self) -> None:
        self._ended = True

    async def _whole(self, request: Request) -> AsyncGenerator[bytes, None]:
        async for chunk in request.stream():
            yield chunk
        if not self._ended:
            raise MultiPartException("It is cut short: the closing boundary is missing.")


def _validated(sent: FormData, kind: type[_Form]) -> tuple[_Form, BinaryIO]:
    file, texts = None, dict[str, list[str]]()
    faults = []
    for name, value in sent.multi_items():
        if isinstance(value, str):
            texts.setdefault(name.replace(f"{_LIST}[]", _LIST), []).append(value)
        elif name == kind.file_field:
            file = value.file
        else:
            faults.append(_fault("extra_forbidden", [name], "A file is not permitted here", None))
    if file is None:
        told = texts.pop(kind.file_field, None)
        message = "Field required: a file" if told is None else "Input should be a file"
        faults.append(_fault("missing", [kind.file_field], message, None))
    # A field that comes more than once stays a list, which only one field may be.
    given = {
        name: values if name == _LIST or len(values) > 1 else values[0]
        for name, values in texts.items()
    }
    try:
        form = kind.model_validate(given)
    except ValidationError as error:
        told_faults = error.errors(include_url=False, include_context=False, include_input=False)
        faults += [
            _fault(one["type"], one["loc"], one["msg"], given.get(str(one["loc"][0])))
            if one["loc"]
            else _fault(one["type"], [], one["msg"], given)
            for one in told_faults
        ]
    if file is None or faults:
        raise ErrorResponse(422, {"detail": faults})
    return form, file


def _fault(kind: str, where: Iterable[int | str], message: str, given: object) -> dict[str, object]:
    return {"type": kind, "loc": ["body", *where], "msg": message, "input": given}
