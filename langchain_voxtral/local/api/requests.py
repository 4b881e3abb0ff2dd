"""Request bodies: the one of `POST /v1/inference/{model}`, and what all of them share.

Ranges and defaults are those of DeepInfra's text generation schema. Where that schema is silent
this server is strict: an unknown field gets status 422, so that no setting is dropped silently.
"""

import asyncio
from collections.abc import Sequence
from itertools import islice
from typing import TYPE_CHECKING, Annotated, Any, Self, TypeVar

from pydantic import Field, ValidationError, model_validator
from pydantic_core import from_json, to_jsonable_python

from langchain_voxtral.local.errors import ErrorResponse
from langchain_voxtral.local.response_formats import (
    MAX_NEW_TOKENS,
    ResponseFormat,
    StrictModel,
)
from langchain_voxtral.tools.json_schema import iter_values

if TYPE_CHECKING:
    from starlette.requests import Request
    from starlette.types import Message, Receive

    from langchain_voxtral.local.models import TextModel
    from langchain_voxtral.local.prompting.json_grammar import Constraint

MAX_BODY_BYTES = 2 * 2**20
"""More text than any context takes."""
MAX_BODY_VALUES = 50_000
"""JSON values in a body; each can cost a validation error."""
MAX_VALIDATION_ERRORS = 100
"""Errors that a response lists; how many more there are is stated."""
MAX_STOP_CHARACTERS = 4_000
"""Length of a stop sequence, which is compared after every token."""
BODY_SECONDS = 600.0
"""Time for a body to arrive."""

_MAX_DISCARDED = 8
"""Times the limit that is still read and discarded, so that the client gets to read the 413:
closing a socket with unread data in it resets the connection."""

_SEEDS = 2**32 - 1  # llama.cpp's seeds have 32 bits, and the last of them means "random"


StopSequence = Annotated[str, Field(min_length=1, max_length=MAX_STOP_CHARACTERS)]


class Sampling(StrictModel):
    """Fields that all text endpoints have."""

    max_new_tokens: int | None = Field(None, ge=1, le=1_000_000)
    temperature: float = Field(0.7, ge=0, le=100)
    top_p: float = Field(0.9, gt=0, le=1)
    min_p: float = Field(0, ge=0, le=1)
    top_k: int = Field(0, ge=0, lt=1000)
    repetition_penalty: float = Field(1, ge=0.01, le=5)
    presence_penalty: float = Field(0, ge=-2, le=2)
    frequency_penalty: float = Field(0, ge=-2, le=2)
    stop: list[StopSequence] | None = Field(None, max_length=16)
    num_responses: int = Field(1, ge=1, le=4)
    response_format: ResponseFormat | None = None
    seed: int | None = Field(None, ge=-(2**63), lt=2**64)
    user: str | None = None
    prompt_cache_key: str | None = None
    stream: bool = False

    def engine_requests(
        self, prompt: str, model: "TextModel", constraint: "Constraint"
    ) -> list[dict[str, object]]:
        """Return llama.cpp's fields for each of the responses."""
        fields: dict[str, object] = {
            "prompt": prompt,
            "max_tokens": self.max_new_tokens or MAX_NEW_TOKENS,
            "temperature": self.temperature,
            "top_p": self.top_p,
            "min_p": self.min_p,
            "top_k": self.top_k,
            "repeat_penalty": self.repetition_penalty,
            "repeat_last_n": model.engine.n_ctx,  # penalties count over all, as in vLLM
            "presence_penalty": self.presence_penalty,
            "frequency_penalty": self.frequency_penalty,
            # JSON that a stop sequence cuts would not be valid against the schema.
            "stop": [] if constraint.is_json else [*model.template.stops, *(self.stop or ())],
            **constraint.fields,
        }
        if self.seed is None:
            return [fields] * self.num_responses
        # The rest of a cached prompt is read in other batches, which changes the last bits of
        # its logits: only a full read gives the same text for the same seed.
        return [
            {**fields, "seed": (self.seed + number) % _SEEDS, "cache_prompt": False}
            for number in range(self.num_responses)
        ]


class InferenceRequest(Sampling):
    """A prompt, and how it is to be continued."""

    input: str = Field(min_length=1)
    webhook: str | None = None

    @model_validator(mode="after")
    def _check_combination(self) -> Self:
        if self.stream and self.num_responses > 1:
            raise ValueError("num_responses above 1 is incompatible with stream")
        if self.webhook is not None:
            raise ValueError("webhook is not offered by the embedded engine")
        return self


_Body = TypeVar("_Body", bound=StrictModel)


def parse_body(body: bytes, model: type[_Body]) -> _Body:
    """Parse and validate a body, or raise an `ErrorResponse` 422."""
    return validate(parse_json(body), model)


def parse_json(body: bytes) -> Any:
    """Parse a body, or raise an `ErrorResponse` 422."""
    try:
        value = from_json(body, allow_inf_nan=False)
    except ValueError as error:
        detail = {"type": "json_invalid", "loc": ["body"], "msg": f"Invalid JSON: {error}"}
        raise ErrorResponse(422, {"detail": [{**detail, "input": {}}]}) from error
    if len(list(islice(iter_values(value), MAX_BODY_VALUES + 1))) > MAX_BODY_VALUES:
        message = f"The request has more than {MAX_BODY_VALUES} JSON values"
        raise ErrorResponse.with_message(413, message)
    return value


def validate(value: object, model: type[_Body]) -> _Body:
    """Validate a parsed body, or raise an `ErrorResponse` 422 with a `detail` for each error."""
    try:
        return model.model_validate(value)
    except ValidationError as error:
        raise ErrorResponse(422, {"detail": validation_details(error)}) from error


def validation_details(
    error: ValidationError, location: Sequence[str | int] = ()
) -> list[dict[str, Any]]:
    """Return validation errors as DeepInfra does; `location` is that of the validated value."""
    errors: list[Any] = list(error.errors(include_url=False, include_context=False))
    if len(errors) > MAX_VALIDATION_ERRORS:
        more = f"{len(errors) - MAX_VALIDATION_ERRORS} more errors are not listed"
        last = {"type": "too_many_errors", "loc": (), "msg": more, "input": None}
        errors = [*errors[:MAX_VALIDATION_ERRORS], last]
    # 1e400 is read as infinity and quoted in the error, where JSON cannot have it.
    details = to_jsonable_python(errors, inf_nan_mode="null")
    return [{**detail, "loc": ["body", *location, *detail["loc"]]} for detail in details]


def media_type(request: "Request") -> str:
    """Return the media type of a request's body, in lower case; "" if it has none."""
    return request.headers.get("content-type", "").partition(";")[0].strip().lower()


def refuse_encoded(request: "Request") -> None:
    """Raise an `ErrorResponse` 415 if the body is compressed."""
    encoding = request.headers.get("content-encoding", "identity").strip().lower()
    if encoding != "identity":
        raise ErrorResponse.with_message(415, f"Content-Encoding {encoding!r} is not supported")


async def read_body(request: "Request") -> bytes:
    """Read a JSON body, or raise an `ErrorResponse` 415 if it is none."""
    if (media := media_type(request)) != "application/json":
        message = f"This takes application/json, not {media or 'an untyped body'}"
        raise ErrorResponse.with_message(415, message)
    refuse_encoded(request)
    return await request.body()


def limit_body(receive: "Receive", limit: int, seconds: float = BODY_SECONDS) -> "Receive":
    """Return a `receive` that limits a body.

    It raises an `ErrorResponse`: 413 when the body has more bytes, 408 when it takes longer.
    """
    received = 0
    deadline = asyncio.get_running_loop().time() + seconds

    async def receive_limited() -> "Message":
        try:
            async with asyncio.timeout_at(deadline):
                return await receive_bytes()
        except TimeoutError as error:
            message = f"The request did not arrive within {seconds:g} seconds"
            raise ErrorResponse.with_message(408, message) from error

    async def receive_bytes() -> "Message":
        nonlocal received
        message = await receive()
        received += len(message.get("body", b""))
        while received > limit:
            if not message.get("more_body", False) or received > limit * _MAX_DISCARDED:
                raise too_large(limit)
            message = await receive()
            received += len(message.get("body", b""))
        return message

    return receive_limited


def too_large(limit: int) -> ErrorResponse:
    """Return the error response for a body of more than `limit` bytes."""
    return ErrorResponse.with_message(413, f"The request is larger than {limit} bytes")
