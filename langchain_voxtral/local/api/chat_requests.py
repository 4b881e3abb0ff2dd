"""The body of `POST /v1/openai/chat/completions`, validated as DeepInfra documents it.

Beside DeepInfra's fields those of OpenAI are taken that this engine can honour, because their
SDK sends them: `max_completion_tokens`, `parallel_tool_calls` (an answer here makes one call,
which both of its values allow), `store: false`, `modalities: ["text"]`,
`safety_identifier`. A service tier is a place in a queue and a price; here is one queue, and it
is free. Every other field is refused (422): none is dropped in silence.
"""

from typing import Annotated, Any, Literal, Self

from pydantic import AliasChoices, BeforeValidator, Field, model_validator

from langchain_voxtral.local.api.chat_messages import Messages, Name, without_nulls
from langchain_voxtral.local.api.requests import Sampling, StrictModel

__all__ = ["ChatRequest"]


def _listed(value: Any) -> Any:
    return [value] if isinstance(value, str) else value


class Function(StrictModel):
    """What a tool is called, is for, and takes."""

    name: Name
    description: str | None = None
    parameters: dict[str, Any] | None = None
    strict: bool | None = None


class Tool(StrictModel):
    """A tool on offer."""

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
    """What a stream tells; as DeepInfra documents it the usage is told unless told not to."""

    include_usage: bool = True
    continuous_usage_stats: Literal[False] = False

    _drop_nulls = model_validator(mode="before")(without_nulls)


class ChatRequest(Sampling):
    """A conversation, and how it is to be continued."""

    model: str
    messages: Messages
    max_new_tokens: int | None = Field(
        None,
        ge=0,
        le=1_000_000,
        validation_alias=AliasChoices("max_tokens", "max_completion_tokens"),
    )
    temperature: float = Field(1, ge=0, le=2)
    top_p: float = Field(1, gt=0, le=1)
    stop: Annotated[
        list[Annotated[str, Field(min_length=1)]] | None,
        Field(max_length=16),
        BeforeValidator(_listed),
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

    _drop_nulls = model_validator(mode="before")(without_nulls)

    @model_validator(mode="after")
    def _check_combination(self) -> Self:
        if self.stream and self.num_responses > 1:
            raise ValueError("n above 1 is incompatible with stream")
        if "stream_options" in self.model_fields_set and not self.stream:
            raise ValueError("stream_options need stream")
        if self.top_logprobs:
            raise ValueError("top_logprobs: the embedded engine tells the chosen token's only")
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
    def offered(self) -> tuple[dict[str, object], ...]:
        """The tools in OpenAI's form, with what was sent and nothing else."""
        return tuple(tool.model_dump(exclude_unset=True) for tool in self.tools)

    @property
    def choice(self) -> str:
        """Which tool is to be called: `auto`, `none`, `any`, or a tool's name."""
        if isinstance(self.tool_choice, NamedChoice):
            return self.tool_choice.function.name
        return "any" if self.tool_choice == "required" else self.tool_choice
