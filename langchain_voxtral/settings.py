"""What may be set for a model and for each call alike, and how it goes into a request body."""

import difflib
from collections.abc import Collection, Mapping, Sequence
from typing import Annotated, Any

from pydantic import (
    AfterValidator,
    AliasChoices,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    ValidationError,
)

from langchain_voxtral.errors import VoxtralInvalidRequestError
from langchain_voxtral.prompts import PromptFormat
from langchain_voxtral.protocol.endpoints import CHAT_COMPLETIONS, NATIVE, TextEndpoint

MOST_STOPS = 16
"""Stop sequences that DeepInfra's native endpoint takes in one request."""


def _as_list(stop: object) -> object:
    return [stop] if isinstance(stop, str) else stop


def _checked_stops(stop: list[str] | None) -> list[str] | None:
    if stop is not None and "" in stop:
        raise ValueError("an empty stop sequence would end every answer at once; leave it out")
    if stop is not None and len(stop) > MOST_STOPS:
        raise ValueError(f"{len(stop)} stop sequences were given; the server takes {MOST_STOPS}")
    return stop


_FORMAT_PARTS = {"text": None, "json_object": None, "json_schema": "json_schema", "regex": "regex"}


def _checked_format(value: dict[str, Any] | None) -> dict[str, Any] | None:
    if value is None:
        return None
    kind = value.get("type")
    if not isinstance(kind, str) or kind not in _FORMAT_PARTS:
        raise ValueError(f"its 'type' must be one of {', '.join(_FORMAT_PARTS)}, not {kind!r}")
    part = _FORMAT_PARTS[kind]
    if part is not None and part not in value:
        raise ValueError(f"type {kind!r} needs a {part!r} beside it")
    if kind == "json_schema" and not _holds_schema(value[kind]):
        raise ValueError("its 'json_schema' must be {'name': ..., 'schema': {...}}")
    return value


def _holds_schema(named: object) -> bool:
    return isinstance(named, dict) and isinstance(named.get("schema"), dict)


OTHER_SPELLINGS = {
    "model_name": "model",
    "max_new_tokens": "max_tokens",
    "stop_sequences": "stop",
}
"""Names that are accepted besides our own."""

_RESERVED = {
    "input": "the messages",
    "messages": "the messages",
    "model": "model=",
    "stop": "stop=",
    "stream": ".stream()",
    "logprobs": "logprobs=",
    "tools": "bind_tools()",
    "tool_choice": "bind_tools(tool_choice=...)",
    "parallel_tool_calls": "bind_tools(parallel_tool_calls=...)",
    **{
        theirs: f"{ours}="
        for api in (NATIVE, CHAT_COMPLETIONS)
        for ours, theirs in api.names.items()
    },
}
"""What `model_kwargs` must not set, on either endpoint."""


def _checked_extras(extras: dict[str, Any]) -> dict[str, Any]:
    for name in extras:
        if name in _RESERVED:
            raise ValueError(f"{name!r} is set through {_RESERVED[name]}, not through model_kwargs")
    return extras


class SamplingSettings(BaseModel):
    """Settings that the constructor takes as defaults and every call may override.

    None means that a field is not sent, so that the server's own default holds. Ranges are
    those of DeepInfra's schema for native text generation.

    Example:
        ```python
        options = CallOptions(temperature=0.5, stop="END")
        assert options.stop == ["END"]
        ```
    """

    model_config = ConfigDict(extra="forbid", protected_namespaces=())

    model: str = Field(
        default="mistralai/Voxtral-Mini-3B-2507",
        min_length=1,
        validation_alias=AliasChoices("model", "model_name"),
    )
    """The model's name at the server; also `NAME:VERSION` or `deploy_id:ID`."""
    temperature: float | None = Field(default=0.2, ge=0, le=100)
    """Randomness; 0 is greedy. The model card recommends 0.2 for chat."""
    top_p: float | None = Field(default=0.95, gt=0, le=1)
    """Share of probability that tokens are drawn from. The model card recommends 0.95."""
    top_k: int | None = Field(default=None, ge=0, lt=1000)
    """Number of most likely tokens to draw from; 0 is all."""
    min_p: float | None = Field(default=None, ge=0, le=1)
    """Least probability of a token, relative to the likeliest; 0 is off."""
    max_tokens: int | None = Field(
        default=None,
        ge=1,
        le=1_000_000,
        validation_alias=AliasChoices("max_tokens", "max_new_tokens"),
    )
    """Most tokens to generate."""
    repetition_penalty: float | None = Field(default=None, ge=0.01, le=5)
    """Above 1 discourages tokens that are already there."""
    presence_penalty: float | None = Field(default=None, ge=-2, le=2)
    """Above 0 discourages tokens that are already there, once."""
    frequency_penalty: float | None = Field(default=None, ge=-2, le=2)
    """Above 0 discourages tokens that are already there, each time."""
    stop: Annotated[list[str] | None, BeforeValidator(_as_list), AfterValidator(_checked_stops)] = (
        Field(default=None, validation_alias=AliasChoices("stop", "stop_sequences"))
    )
    """Where to end the answer. None: at the prompt format's own end marker; [] sends none."""
    seed: int | None = Field(default=None, ge=-(2**63), lt=2**64)
    """For repeatable answers, as far as the server can."""
    response_format: Annotated[dict[str, Any] | None, AfterValidator(_checked_format)] = None
    """`{"type": "text" | "json_object"}`, `{"type": "json_schema", "json_schema": {"name":
    ..., "schema": ...}}` or `{"type": "regex", "regex": ...}`: what the text must look like."""
    user: str | None = None
    """An id of your user, for the provider's abuse handling; hash it."""
    prompt_cache_key: str | None = None
    """Requests with the same key are likelier to share the server's prompt cache."""
    n: int | None = Field(default=None, ge=1, le=4)
    """Answers for each prompt. Not with streaming."""
    logprobs: bool | None = None
    """Whether to keep the tokens' log probabilities, as far as the server tells them."""
    model_kwargs: Annotated[dict[str, Any], AfterValidator(_checked_extras)] = Field(
        default_factory=dict
    )
    """More fields for the request body, for what this class has no name for."""

    def with_call(
        self, given: Mapping[str, Any], fixed: Collection[str] = ()
    ) -> "SamplingSettings":
        """Return these options with a call's own on top.

        Args:
            given: Keyword arguments of the call, in any accepted spelling.
            fixed: Names of what only the constructor takes, for the error that says so.

        Raises:
            VoxtralInvalidRequestError: An argument is unknown or has a wrong value.
        """
        if not given:
            return self
        try:
            call = SamplingSettings.model_validate(given)
        except ValidationError as error:
            raise VoxtralInvalidRequestError(_explain(error, fixed)) from None
        values = {name: getattr(self, name) for name in SamplingSettings.model_fields}
        values.update((name, getattr(call, name)) for name in call.model_fields_set)
        return SamplingSettings.model_construct(**values)

    def body(self, api: TextEndpoint) -> dict[str, Any]:
        """Return what of these goes into a request body as it is, by the endpoint's names."""
        named = ((theirs, getattr(self, ours)) for ours, theirs in api.names.items())
        body = {name: value for name, value in named if value is not None}
        if self.n == 1:
            del body[api.names["n"]]
        return body | self.model_kwargs

    def stops_for(self, prompt_format: PromptFormat | None) -> tuple[list[str] | None, list[str]]:
        """Return the stop sequences to send, and those to cut the answer at.

        The format's end marker goes out beside the user's sequences while there is room, and
        is cut in any case, since a server may not know it as a special token. `[]` is an order
        to send and cut nothing.

        Args:
            prompt_format: None for a raw prompt, which has no end marker.
        """
        if self.stop is not None and not self.stop:
            return [], []
        own = list(self.stop or ())
        if prompt_format is None:
            return own or None, own
        sent = list(dict.fromkeys([*own, *prompt_format.stops]))[:MOST_STOPS]
        return sent, list(dict.fromkeys([*own, *prompt_format.stops, *prompt_format.trims]))


def canonical_names(given: Mapping[str, Any]) -> dict[str, Any]:
    """Return the arguments of a call by our own names."""
    return {OTHER_SPELLINGS.get(name, name): value for name, value in given.items()}


def unknown_option(name: str, known: Sequence[str]) -> str:
    """Say that an option does not exist, and which one may have been meant."""
    close = difflib.get_close_matches(name, known, n=1)
    hint = f"Did you mean {close[0]!r}? " if close else ""
    return (
        f"there is no option {name!r}. {hint}"
        "Fields that only the server knows go into model_kwargs={...}"
    )


def _explain(error: ValidationError, fixed: Collection[str]) -> str:
    """Name each wrong argument of a call with what was given."""
    sentences = []
    for problem in error.errors(include_url=False):
        name = ".".join(map(str, problem["loc"]))
        if problem["type"] == "extra_forbidden" and name in OTHER_SPELLINGS:
            sentences.append(f"{name!r} is {OTHER_SPELLINGS[name]!r} once more: give one of them")
        elif problem["type"] == "extra_forbidden" and name in fixed:
            sentences.append(f"{name!r} is set at the constructor, not at a call")
        elif problem["type"] == "extra_forbidden":
            sentences.append(unknown_option(name, list(SamplingSettings.model_fields)))
        else:
            message = problem["msg"].removeprefix("Value error, ")
            sentences.append(f"{name}={problem['input']!r}: {message}")
    return "Wrong options for this call: " + "; ".join(sentences) + "."
