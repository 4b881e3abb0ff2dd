"""The body of `POST /v1/inference/{model}`, and what all bodies share, as DeepInfra documents it.

Ranges and defaults are those of DeepInfra's text generation schema. Where that schema leaves
a question open this server is strict: a field that it does not know is refused (422), so that
a misspelt or unsupported setting is never dropped in silence.
"""

from collections.abc import Sequence
from typing import Annotated, Any, Literal, Self, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator
from pydantic_core import from_json, to_jsonable_python

from langchain_voxtral.local.errors import ErrorResponse

__all__ = [
    "InferenceRequest",
    "JsonObject",
    "JsonSchema",
    "PlainText",
    "Regex",
    "Sampling",
    "StrictModel",
    "parse_body",
    "parse_request",
    "read_json",
    "validate",
    "validation_details",
]

MAX_NEW_TOKENS = 16_384
"""DeepInfra's default, bounded further by what the context has left."""


class StrictModel(BaseModel):
    """A part of a body: nothing in it is unknown, and nothing changes it."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class PlainText(StrictModel):
    """No constraint."""

    type: Literal["text"]


class JsonObject(StrictModel):
    """Any JSON object."""

    type: Literal["json_object"]


class NamedSchema(StrictModel):
    """A JSON schema and its name; `strict` and `description` change nothing here."""

    name: str = "response"
    schema_: dict[str, Any] = Field(alias="schema")
    strict: bool | None = None
    description: str | None = None


class JsonSchema(StrictModel):
    """JSON that is valid against a schema."""

    type: Literal["json_schema"]
    json_schema: NamedSchema


class Regex(StrictModel):
    """Text that a regular expression matches as a whole."""

    type: Literal["regex"]
    regex: str = Field(min_length=1)


ResponseFormat = Annotated[PlainText | JsonObject | JsonSchema | Regex, Field(discriminator="type")]


class Sampling(StrictModel):
    """What a client may ask for, whatever it sends the prompt as; ranges are DeepInfra's."""

    max_new_tokens: int | None = Field(None, ge=1, le=1_000_000)
    temperature: float = Field(0.7, ge=0, le=100)
    top_p: float = Field(0.9, gt=0, le=1)
    min_p: float = Field(0, ge=0, le=1)
    top_k: int = Field(0, ge=0, lt=1000)
    repetition_penalty: float = Field(1, ge=0.01, le=5)
    presence_penalty: float = Field(0, ge=-2, le=2)
    frequency_penalty: float = Field(0, ge=-2, le=2)
    stop: list[Annotated[str, Field(min_length=1)]] | None = Field(None, max_length=16)
    num_responses: int = Field(1, ge=1, le=4)
    response_format: ResponseFormat | None = None
    seed: int | None = Field(None, ge=-(2**63), lt=2**64)
    user: str | None = None
    prompt_cache_key: str | None = None
    stream: bool = False


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


def parse_request(body: bytes) -> InferenceRequest:
    """Parse and validate the body of a native request.

    Raises:
        ErrorResponse: 422 with one `detail` entry for each fault, as DeepInfra answers.

    Example:
        ```python
        from langchain_voxtral.local.api.requests import parse_request

        assert parse_request(b'{"input": "Hi"}').temperature == 0.7
        ```
    """
    return parse_body(body, InferenceRequest)


def parse_body(body: bytes, kind: type[_Body]) -> _Body:
    """Parse and validate a body of any kind.

    Raises:
        ErrorResponse: 422 with one `detail` entry for each fault, as DeepInfra answers.
    """
    return validate(read_json(body), kind)


def read_json(body: bytes) -> Any:
    """Parse a body.

    Raises:
        ErrorResponse: 422, it is no JSON.
    """
    try:
        return from_json(body, allow_inf_nan=False)
    except ValueError as error:
        fault = {"type": "json_invalid", "loc": ["body"], "msg": f"Invalid JSON: {error}"}
        raise ErrorResponse(422, {"detail": [{**fault, "input": {}}]}) from error


def validate(value: object, kind: type[_Body]) -> _Body:
    """Validate a body.

    Raises:
        ErrorResponse: 422 with one `detail` entry for each fault, as DeepInfra answers.
    """
    try:
        return kind.model_validate(value)
    except ValidationError as error:
        raise ErrorResponse(422, {"detail": validation_details(error)}) from error


def validation_details(
    error: ValidationError, where: Sequence[str | int] = ()
) -> list[dict[str, Any]]:
    """Return faults as DeepInfra tells them; `where` is the place of what was validated."""
    # 1e400 is read as infinity, and the fault quotes it: JSON could not.
    faults = to_jsonable_python(
        error.errors(include_url=False, include_context=False), inf_nan_mode="null"
    )
    return [{**fault, "loc": ["body", *where, *fault["loc"]]} for fault in faults]
