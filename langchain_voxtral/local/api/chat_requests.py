"""The body of `POST /v1/openai/chat/completions`, and the conversation in it.

Besides DeepInfra's fields, those of OpenAI are accepted that its SDK sends and this engine can
honour: `max_completion_tokens`, `parallel_tool_calls` (an answer makes one call, which both values
allow), `store: false`, `modalities: ["text"]`, `safety_identifier`. A service tier has no effect.
"""

from typing import Annotated, Any, Literal, Self

from pydantic import AliasChoices, BeforeValidator, Field, field_validator, model_validator
from pydantic_core import from_json

from langchain_voxtral.local.api.requests import Sampling, StopSequence
from langchain_voxtral.local.prompting.prompt_reader import ParsedPrompt
from langchain_voxtral.local.response_formats import StrictModel
from langchain_voxtral.messages.turns import ToolCall, Turn


def _drop_nulls(value: Any) -> Any:
    """Drop fields that are null: OpenAI's SDK sends answers back with `"refusal": null`."""
    if not isinstance(value, dict):
        return value
    return {name: field for name, field in value.items() if field is not None}


def _as_list(value: Any) -> Any:
    return [value] if isinstance(value, str) else value


def _join_parts(content: Any) -> Any:
    if not isinstance(content, list):
        return content
    return "".join(_part_text(index, part) for index, part in enumerate(content))


def _part_text(index: int, part: Any) -> str:
    match part:
        case {"type": "text", "text": str(text)}:
            return text
        case {"type": str(kind)} if kind != "text":
            raise ValueError(f"part {index} is {kind!r}: the embedded engine reads text only")
        case _:
            raise ValueError(f'part {index} is not {{"type": "text", "text": "..."}}')


def _parse_arguments(text: Any) -> Any:
    if not isinstance(text, str):
        raise ValueError("arguments are a string: the text of a JSON object")  # noqa: TRY004
    try:
        arguments = from_json(text or "{}", allow_inf_nan=False)
    except ValueError as error:
        raise ValueError(f"the arguments are no JSON: {error}") from error
    if not isinstance(arguments, dict):
        raise ValueError("the arguments are no JSON object")  # noqa: TRY004 - pydantic's way
    return arguments


Name = Annotated[str, Field(min_length=1)]
Content = Annotated[str, BeforeValidator(_join_parts)]


# Messages


class CalledFunction(StrictModel):
    """The function and the arguments of a call."""

    name: Name
    arguments: Annotated[dict[str, Any], BeforeValidator(_parse_arguments)]


class Call(StrictModel):
    """A tool call by the model; calls that were streamed have an `index`."""

    id: Name
    type: Literal["function"] = "function"
    function: CalledFunction
    index: int | None = None


class SystemMessage(StrictModel):
    """Instructions."""

    role: Literal["system"]
    content: Content
    name: str | None = None

    def to_turn(self) -> Turn:
        """Return the message as a turn."""
        return Turn("system", self.content)


class UserMessage(StrictModel):
    """A user's message; a name goes before its text, as prompts have no other place for it."""

    role: Literal["user"]
    content: Content
    name: str | None = None

    def to_turn(self) -> Turn:
        """Return the message as a turn."""
        return Turn("user", f"{self.name}: {self.content}" if self.name else self.content)


class AssistantMessage(StrictModel):
    """An earlier answer; its name is not shown to the model, which would imitate it."""

    role: Literal["assistant"]
    content: Content | None = None
    tool_calls: tuple[Call, ...] = ()
    name: str | None = None

    _nulls = model_validator(mode="before")(_drop_nulls)

    @model_validator(mode="after")
    def _check_not_empty(self) -> Self:
        if self.content is None and not self.tool_calls:
            raise ValueError("an assistant message has content, or tool_calls")
        return self

    def to_turn(self) -> Turn:
        """Return the message as a turn."""
        calls = (
            ToolCall(call.id, call.function.name, call.function.arguments)
            for call in self.tool_calls
        )
        return Turn("assistant", self.content or "", tuple(calls))


class ToolMessage(StrictModel):
    """The result of a call."""

    role: Literal["tool"]
    content: Content
    tool_call_id: Name
    name: str | None = None

    def to_turn(self) -> Turn:
        """Return the message as a turn."""
        return Turn("tool", self.content, tool_call_id=self.tool_call_id)


Message = Annotated[
    SystemMessage | UserMessage | AssistantMessage | ToolMessage, Field(discriminator="role")
]


# Tools and options


class Function(StrictModel):
    """The function of a tool."""

    name: Name
    description: str | None = None
    parameters: dict[str, Any] | None = None
    strict: bool | None = None


class Tool(StrictModel):
    """A tool."""

    type: Literal["function"]
    function: Function


class NamedFunction(StrictModel):
    """The name of a tool."""

    name: Name


class NamedChoice(StrictModel):
    """The choice of one tool."""

    type: Literal["function"]
    function: NamedFunction


class StreamOptions(StrictModel):
    """Options of a stream; as DeepInfra documents it, the usage is included by default."""

    include_usage: bool = True
    continuous_usage_stats: Literal[False] = False

    _nulls = model_validator(mode="before")(_drop_nulls)


class ChatRequest(Sampling):
    """A conversation, and how it is to be continued."""

    model: str
    messages: tuple[Message, ...]
    max_new_tokens: int | None = Field(
        None,
        ge=0,
        le=1_000_000,
        validation_alias=AliasChoices("max_tokens", "max_completion_tokens"),
    )
    temperature: float = Field(1, ge=0, le=2)
    top_p: float = Field(1, gt=0, le=1)
    stop: Annotated[
        list[StopSequence] | None,
        Field(max_length=16),
        BeforeValidator(_as_list),
    ] = None
    num_responses: int = Field(1, ge=1, le=4, validation_alias="n")
    tools: tuple[Tool, ...] = ()
    tool_choice: Literal["none", "auto", "required"] | NamedChoice = "auto"
    parallel_tool_calls: bool = True
    logprobs: bool = False
    top_logprobs: int = Field(0, ge=0, le=20)
    stream_options: StreamOptions = StreamOptions()
    service_tier: Literal["auto", "default", "flex", "priority"] = "default"
    reasoning_effort: Literal["none"] = "none"
    store: Literal[False] = False
    modalities: list[Literal["text"]] = Field(["text"], min_length=1)
    safety_identifier: str | None = None

    _nulls = model_validator(mode="before")(_drop_nulls)

    @field_validator("messages")
    @classmethod
    def _check_messages(cls, messages: tuple[Message, ...]) -> tuple[Message, ...]:
        if not messages:
            raise ValueError("there are no messages")
        open_calls: set[str] = set()
        for index, message in enumerate(messages):
            if isinstance(message, AssistantMessage):
                open_calls |= {call.id for call in message.tool_calls}
            elif isinstance(message, ToolMessage):
                if message.tool_call_id not in open_calls:
                    raise ValueError(
                        f"message {index} answers the call {message.tool_call_id!r}, "
                        "which no message before it makes, or which has its result"
                    )
                open_calls.remove(message.tool_call_id)
        return messages

    @model_validator(mode="after")
    def _check_combination(self) -> Self:
        if self.stream and self.num_responses > 1:
            raise ValueError("n above 1 is incompatible with stream")
        if "stream_options" in self.model_fields_set and not self.stream:
            raise ValueError("stream_options need stream")
        if self.top_logprobs:
            raise ValueError("top_logprobs: the embedded engine returns the chosen token's only")
        self._check_tools()
        return self

    def _check_tools(self) -> None:
        names = [tool.function.name for tool in self.tools]
        if len(set(names)) < len(names):
            raise ValueError("tools: each needs a name of its own")
        if isinstance(self.tool_choice, NamedChoice):
            if self.tool_choice.function.name not in names:
                raise ValueError(f"tool_choice: no tool is {self.tool_choice.function.name!r}")
        elif self.tool_choice == "required" and not names:
            raise ValueError("tool_choice: there are no tools to choose from")

    @property
    def choice(self) -> str:
        """Which tool is to be called: `auto`, `none`, `any`, or a tool's name."""
        if isinstance(self.tool_choice, NamedChoice):
            return self.tool_choice.function.name
        return "any" if self.tool_choice == "required" else self.tool_choice

    def conversation(self) -> ParsedPrompt:
        """Return the conversation, with the tools as they were sent.

        A last message of the assistant without calls is the beginning of the answer (a prefill,
        as DeepInfra documents it).
        """
        turns = [message.to_turn() for message in self.messages]
        prefill = ""
        if turns[-1].role == "assistant" and not turns[-1].tool_calls:
            prefill = turns.pop().text
        tools = tuple(tool.model_dump(exclude_unset=True) for tool in self.tools)
        return ParsedPrompt("chat", tuple(turns), prefill, tools)
