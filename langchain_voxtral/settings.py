"""Settings that a model has and each call may override, and the request fields they become."""

from collections.abc import Collection, Mapping
from typing import Annotated, Any

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    ValidationError,
)

from langchain_voxtral.errors import VoxtralInvalidRequestError
from langchain_voxtral.option_names import (
    FIELD_ALIASES,
    constructor_option_message,
    names_of,
    same_option_message,
    unknown_option_message,
    wrong_call_message,
)
from langchain_voxtral.profiles import VOXTRAL_MINI
from langchain_voxtral.prompts import PromptFormat
from langchain_voxtral.protocol.endpoints import CHAT_COMPLETIONS, NATIVE, TextEndpoint
from langchain_voxtral.signatures import Accepts
from langchain_voxtral.tools.names import fit_name

SERVER_FIELDS_ADVICE = "Fields that only the server knows go into model_kwargs={...}"

MAX_STOP_SEQUENCES = 16
"""Stop sequences that DeepInfra's native endpoint takes in one request."""

REQUEST_FIELDS = (
    "max_tokens",
    "temperature",
    "top_p",
    "top_k",
    "min_p",
    "repetition_penalty",
    "presence_penalty",
    "frequency_penalty",
    "seed",
    "response_format",
    "user",
    "prompt_cache_key",
    "n",
)
"""Settings that go into a request body as they are; endpoints name a few of them otherwise."""

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
        endpoint.field_names.get(name, name): f"{name}="
        for endpoint in (NATIVE, CHAT_COMPLETIONS)
        for name in REQUEST_FIELDS
    },
}
"""What `model_kwargs` must not set, on either endpoint."""

_FORMAT_KEYS = {"text": None, "json_object": None, "json_schema": "json_schema", "regex": "regex"}
"""Types of `response_format`, with the key that each needs beside it."""


def _as_list(stop: object) -> object:
    return [stop] if isinstance(stop, str) else stop


def _validate_stop(stop: list[str] | None) -> list[str] | None:
    if stop is not None and "" in stop:
        raise ValueError("an empty stop sequence would end every answer at once; leave it out")
    if stop is not None and len(stop) > MAX_STOP_SEQUENCES:
        raise ValueError(
            f"{len(stop)} stop sequences were given; the server takes {MAX_STOP_SEQUENCES}"
        )
    return stop


def _validate_response_format(value: dict[str, Any] | None) -> dict[str, Any] | None:
    if value is None:
        return None
    kind = value.get("type")
    if not isinstance(kind, str) or kind not in _FORMAT_KEYS:
        raise ValueError(f"its 'type' must be one of {', '.join(_FORMAT_KEYS)}, not {kind!r}")
    key = _FORMAT_KEYS[kind]
    if key is not None and key not in value:
        raise ValueError(f"type {kind!r} needs a {key!r} beside it")
    if kind == "json_schema" and not _has_schema(value[kind]):
        raise ValueError("its 'json_schema' must be {'name': ..., 'schema': {...}}")
    if kind == "json_schema" and isinstance(name := value[kind].get("name"), str):
        return {**value, kind: {**value[kind], "name": fit_name(name)}}
    return value


def _has_schema(json_schema: object) -> bool:
    return isinstance(json_schema, dict) and isinstance(json_schema.get("schema"), dict)


def _validate_model_kwargs(model_kwargs: dict[str, Any]) -> dict[str, Any]:
    for name in model_kwargs:
        if name in _RESERVED:
            raise ValueError(f"{name!r} is set through {_RESERVED[name]}, not through model_kwargs")
    return model_kwargs


StopSequences = Annotated[
    Accepts[list[str] | None, list[str] | str | None],
    BeforeValidator(_as_list),
    AfterValidator(_validate_stop),
]
ResponseFormat = Annotated[dict[str, Any] | None, AfterValidator(_validate_response_format)]


class SamplingSettings(BaseModel):
    """Settings that the constructor takes as defaults and every call may override.

    None means that a field is not sent, so that the server's own default holds. Ranges are
    those of DeepInfra's schema for native text generation.

    Example:
        ```python
        from langchain_voxtral.settings import SamplingSettings

        assert SamplingSettings(temperature=0.5, stop="END").stop == ["END"]
        ```
    """

    model_config = ConfigDict(extra="forbid", protected_namespaces=())

    model: str = Field(
        default=VOXTRAL_MINI,
        min_length=1,
        validation_alias=names_of("model"),
        description="The model's name at the server; also `NAME:VERSION` or `deploy_id:ID`. Else "
        "Voxtral Mini, or at Mistral and OpenRouter Voxtral Small.",
    )
    temperature: float | None = Field(
        default=0.2,
        ge=0,
        le=100,
        description="Randomness; 0 is greedy. The model card recommends 0.2 for chat.",
    )
    top_p: float | None = Field(
        default=0.95,
        gt=0,
        le=1,
        description="Nucleus sampling: the share of probability to sample from. The model card "
        "recommends 0.95.",
    )
    top_k: int | None = Field(
        default=None,
        ge=0,
        lt=1000,
        description="Number of most likely tokens to sample from; 0 is all.",
    )
    min_p: float | None = Field(
        default=None,
        ge=0,
        le=1,
        description="Minimum probability of a token, relative to the most likely one; 0 is off.",
    )
    max_tokens: int | None = Field(
        default=None,
        ge=1,
        le=1_000_000,
        validation_alias=names_of("max_tokens"),
        description="Maximum number of tokens to generate.",
    )
    repetition_penalty: float | None = Field(
        default=None,
        ge=0.01,
        le=5,
        description="Above 1 discourages repeated tokens.",
    )
    presence_penalty: float | None = Field(
        default=None,
        ge=-2,
        le=2,
        description="Above 0 discourages repeated tokens by a constant.",
    )
    frequency_penalty: float | None = Field(
        default=None,
        ge=-2,
        le=2,
        description="Above 0 discourages repeated tokens in proportion to their count.",
    )
    stop: StopSequences = Field(
        default=None,  # type: ignore[arg-type]  # the type of what is stored
        validation_alias=names_of("stop"),
        description="One or up to 16 strings that end the answer. None: the end marker of the "
        "prompt format; [] sends none.",
    )
    seed: int | None = Field(
        default=None,
        ge=-(2**63),
        lt=2**64,
        description="For repeatable answers, if the server supports it.",
    )
    response_format: ResponseFormat = Field(
        default=None,
        description='`{"type": "text" | "json_object"}`, `{"type": "json_schema", "json_schema": '
        '{"name": ..., "schema": ...}}` or `{"type": "regex", "regex": ...}`: what the text must '
        "look like.",
    )
    user: str | None = Field(
        default=None, description="Hashed id of your user, for the provider's abuse detection."
    )
    prompt_cache_key: str | None = Field(
        default=None,
        description="Requests with the same key more likely share the server's prompt cache.",
    )
    n: int | None = Field(
        default=None,
        ge=1,
        le=4,
        description="Number of answers for each prompt. Not with streaming.",
    )
    logprobs: bool | None = Field(
        default=None,
        description="Whether to keep the log probabilities of tokens, if the server returns them.",
    )
    stream_usage: bool | None = Field(
        default=None,
        description="False does not ask for usage in streams of chat completions, for servers that "
        "reject `stream_options`. Usage that a server sends anyway is kept.",
    )
    model_kwargs: Annotated[dict[str, Any], AfterValidator(_validate_model_kwargs)] = Field(
        default_factory=dict,
        validation_alias=names_of("model_kwargs"),
        description="More fields for the request body, for what this class has no name for.",
    )


def merge_settings(
    defaults: SamplingSettings, stop: list[str] | None, kwargs: Mapping[str, Any]
) -> SamplingSettings:
    """Return the settings of one call: a model's own, with the arguments of the call on top.

    Args:
        defaults: The model.
        stop: The call's stop sequences, if any.
        kwargs: Keyword arguments of the call, under canonical names or aliases; `stream` among
            them is LangChain's own.

    Raises:
        VoxtralInvalidRequestError: An argument is unknown or has a wrong value.
    """
    given = {name: value for name, value in kwargs.items() if name != "stream"}
    if stop is not None:
        given["stop"] = stop
    if not given:
        return defaults
    try:
        call = SamplingSettings.model_validate(given)
    except ValidationError as error:
        raise VoxtralInvalidRequestError(_explain(error, type(defaults).model_fields)) from None
    return _override(defaults, **{name: getattr(call, name) for name in call.model_fields_set})


def without_response_format(settings: SamplingSettings) -> SamplingSettings:
    """Return settings that do not constrain the answer."""
    return _override(settings, response_format=None)


def _override(settings: SamplingSettings, **values: Any) -> SamplingSettings:
    current = {name: getattr(settings, name) for name in SamplingSettings.model_fields}
    return SamplingSettings.model_construct(**(current | values))


def request_fields(settings: SamplingSettings, endpoint: TextEndpoint) -> dict[str, Any]:
    """Return what of these settings goes into a request body, by the endpoint's names."""
    fields = {
        endpoint.field_names.get(name, name): value
        for name in REQUEST_FIELDS
        if (value := getattr(settings, name)) is not None and (name, value) != ("n", 1)
    }
    return fields | settings.model_kwargs


def stop_sequences_for(
    settings: SamplingSettings, prompt_format: PromptFormat | None
) -> tuple[list[str] | None, list[str]]:
    """Return the stop sequences to send, and those at which the client cuts the answer.

    The format's end marker is sent beside the user's sequences while there is room, and is cut
    in any case, since a server may not know it as a special token. With `[]` nothing is sent or
    cut.

    Args:
        settings: The settings of a call.
        prompt_format: None for a raw prompt, which has no end marker.
    """
    if settings.stop is not None and not settings.stop:
        return [], []
    own = list(settings.stop or ())
    if prompt_format is None:
        return own or None, own
    sent = list(dict.fromkeys([*own, *prompt_format.stops]))[:MAX_STOP_SEQUENCES]
    return sent, list(dict.fromkeys([*own, *prompt_format.stops, *prompt_format.trims]))


def _explain(error: ValidationError, constructor_fields: Collection[str]) -> str:
    """Name each wrong argument of a call with what was given."""
    sentences = []
    for problem in error.errors(include_url=False):
        name = ".".join(map(str, problem["loc"]))
        is_unknown = problem["type"] == "extra_forbidden"
        canonical = FIELD_ALIASES.get(name, name)
        if is_unknown and canonical in SamplingSettings.model_fields:
            sentences.append(same_option_message(name, canonical))
        elif is_unknown and canonical in constructor_fields:
            sentences.append(constructor_option_message(name))
        elif is_unknown:
            known = SamplingSettings.model_fields
            sentences.append(unknown_option_message(name, known, SERVER_FIELDS_ADVICE))
        else:
            message = problem["msg"].removeprefix("Value error, ")
            sentences.append(f"{name}={problem['input']!r}: {message}")
    return wrong_call_message(sentences)
