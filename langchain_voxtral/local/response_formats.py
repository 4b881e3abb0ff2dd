"""What an answer of the embedded server may be constrained to, as request bodies state it."""

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

MAX_NEW_TOKENS = 16_384
"""DeepInfra's default; the context limits it further."""


MAX_PATTERN_CHARACTERS = 10_000
"""Length of a pattern; llguidance takes more than linear time and memory."""


class StrictModel(BaseModel):
    """A part of a body, which has no unknown fields."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class PlainText(StrictModel):
    """No constraint."""

    type: Literal["text"]


class JsonObject(StrictModel):
    """Any JSON object."""

    type: Literal["json_object"]


class NamedSchema(StrictModel):
    """A JSON schema and its name; `strict` and `description` have no effect."""

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
    regex: str = Field(min_length=1, max_length=MAX_PATTERN_CHARACTERS)


ResponseFormat = Annotated[PlainText | JsonObject | JsonSchema | Regex, Field(discriminator="type")]
