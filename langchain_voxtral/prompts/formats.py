r"""Prompt formats as data: what stands around turns, tool calls and tools.

`LLAMA3` is what DeepInfra's API page documents for the model; its tool turns are those of
Meta's Llama 3.1 prompt format. `MISTRAL` is the model's own template (Tekken, version 7), as
`mistral-common` writes it.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal, get_args

from langchain_voxtral.errors import VoxtralInvalidRequestError
from langchain_voxtral.prompts.special_tokens import find_special_token
from langchain_voxtral.providers import TurnOrder

ToolPosition = Literal["last_user", "system"]
"""Where the tools are described."""


@dataclass(frozen=True, slots=True)
class Delimiters:
    """What stands before and after a part of a prompt."""

    open: str
    close: str


@dataclass(frozen=True, slots=True)
class ToolCallSyntax:
    r"""How the tool calls of an assistant turn are written.

    Args:
        arguments_key: The JSON key of the arguments; that of the tool's name is `name`.
        id_key: The JSON key of the id, nine letters and digits; "" if ids are not written, so
            that results belong to calls by their order.
        open: Before each JSON text.
        close: After each JSON text.
        separator: Between the turn's text and the first JSON text, and between JSON texts.
        array: All calls are one JSON array; else each is a JSON text of its own.
    """

    arguments_key: str
    id_key: str = ""
    open: str = ""
    close: str = ""
    separator: str = "\n"
    array: bool = False


@dataclass(frozen=True, slots=True)
class ToolDefinitionSyntax:
    r"""How the tools are described.

    Args:
        open: Before their JSON: a special token, and instructions for calling if the model
            needs them.
        close: After their JSON.
        place: Before the last user turn; or at the end of the first system turn, where a special
            token is not required, but keeps the turn's own text from imitating the section.
        array: All tools are one JSON array; else each is JSON on a line of its own.
        wrapped: A tool is written in OpenAI's form, `{"type": "function", "function": ...}`;
            else only the function is, which takes fewer tokens.

    Raises:
        VoxtralInvalidRequestError: There is no such place.

    Example:
        ```python
        from dataclasses import replace

        from langchain_voxtral.messages import Turn
        from langchain_voxtral.prompts import LLAMA3, ToolDefinitionSyntax, render

        tools = ToolDefinitionSyntax("<|tools|>\n", "", "system", wrapped=False)
        short = replace(LLAMA3, tools=tools)
        tool = {"type": "function", "function": {"name": "now"}}
        assert render([Turn("user", "Hi")], short, tools=[tool]).startswith(
            "<|begin_of_text|><|start_header_id|>system<|end_header_id|>\n\n"
            '<|tools|>\n{"name": "now"}<|eot_id|>'
        )
        ```
    """

    open: str
    close: str
    place: ToolPosition
    array: bool = False
    wrapped: bool = True

    def __post_init__(self) -> None:
        if self.place not in get_args(ToolPosition):
            raise VoxtralInvalidRequestError(
                f"The place of tools is {self.place!r}: choose one of "
                f"{', '.join(map(repr, get_args(ToolPosition)))}."
            )


@dataclass(frozen=True, slots=True)
class PromptFormat:
    r"""A prompt format, as data.

    Args:
        name: What it is called.
        begin: Stands once, first.
        system: Delimiters around a system turn.
        user: Delimiters around a user turn.
        assistant: Delimiters around an assistant turn; the prompt ends with the opening one.
        tool: Delimiters around the result of a tool.
        calls: How tool calls are written.
        result_id_end: Ends the call's id, which is then the first thing in a tool turn; "" if
            results carry no id.
        tools: How the tools are described; None if the format has no place for them.
        stops: Stop sequences to send.
        trims: Further sequences at which the client cuts an answer, because a server to which
            they are ordinary text would show them.
        turn_order: The order of turns that the template takes: `"any"`, or `"mistral"` for the
            strict one of Mistral's templates.

    Raises:
        VoxtralInvalidRequestError: A delimiter has no special token that content is protected
            from, so that a user's text could forge a turn.

    Example:
        ```python
        from langchain_voxtral.messages import Turn
        from langchain_voxtral.prompts import ToolCallSyntax, Delimiters, PromptFormat, render

        phi = PromptFormat(
            name="phi",
            begin="",
            system=Delimiters("<|system|>\n", "<|end|>\n"),
            user=Delimiters("<|user|>\n", "<|end|>\n"),
            assistant=Delimiters("<|assistant|>\n", "<|end|>\n"),
            tool=Delimiters("<|tool|>\n", "<|end|>\n"),
            calls=ToolCallSyntax(arguments_key="parameters"),
            stops=("<|end|>",),
        )
        assert render([Turn("user", "Hi")], phi) == "<|user|>\nHi<|end|>\n<|assistant|>\n"
        ```
    """

    name: str
    begin: str
    system: Delimiters
    user: Delimiters
    assistant: Delimiters
    tool: Delimiters
    calls: ToolCallSyntax
    result_id_end: str = ""
    tools: ToolDefinitionSyntax | None = None
    stops: tuple[str, ...] = ()
    trims: tuple[str, ...] = ()
    turn_order: TurnOrder = "any"

    def __post_init__(self) -> None:
        for delimiter in self._delimiters():
            if delimiter and find_special_token(delimiter) is None:
                raise VoxtralInvalidRequestError(
                    f"The delimiter {delimiter!r} of prompt format {self.name!r} contains none of "
                    "the special tokens that content is protected from, so a user's text could "
                    "forge a turn. Use delimiters like <|word|>, or those of LLAMA3 and MISTRAL."
                )

    def _delimiters(self) -> Iterator[str]:
        for around in (self.system, self.user, self.assistant, self.tool):
            yield around.open
            yield around.close
        yield self.result_id_end
        # A section within the system turn is part of the developer's own text.
        if self.tools is not None and self.tools.place == "last_user":
            yield self.tools.open
            yield self.tools.close


LLAMA3 = PromptFormat(
    name="llama3",
    begin="<|begin_of_text|>",
    system=Delimiters("<|start_header_id|>system<|end_header_id|>\n\n", "<|eot_id|>"),
    user=Delimiters("<|start_header_id|>user<|end_header_id|>\n\n", "<|eot_id|>"),
    assistant=Delimiters("<|start_header_id|>assistant<|end_header_id|>\n\n", "<|eot_id|>"),
    tool=Delimiters("<|start_header_id|>ipython<|end_header_id|>\n\n", "<|eot_id|>"),
    calls=ToolCallSyntax(arguments_key="parameters"),
    tools=ToolDefinitionSyntax(
        open=(
            "<|tools|>\n"
            "You can call the functions below: reply with nothing but one line for each call,\n"
            '{"name": "function", "parameters": {"argument": value}}\n'
            "If no function is needed, reply in plain text.\n"
        ),
        close="",
        place="system",
        wrapped=False,
    ),
    stops=("<|eot_id|>",),
    trims=("<|eom_id|>", "<|end_of_text|>", "<|begin_of_text|>", "<|start_header_id|>"),
)
"""The documented contract of the model at DeepInfra, and the default."""

MISTRAL = PromptFormat(
    name="mistral",
    begin="<s>",
    system=Delimiters("[SYSTEM_PROMPT]", "[/SYSTEM_PROMPT]"),
    user=Delimiters("[INST]", "[/INST]"),
    assistant=Delimiters("", "</s>"),
    tool=Delimiters("[TOOL_RESULTS]", "[/TOOL_RESULTS]"),
    calls=ToolCallSyntax(
        arguments_key="arguments", id_key="id", open="[TOOL_CALLS]", separator="", array=True
    ),
    result_id_end="[TOOL_CONTENT]",
    tools=ToolDefinitionSyntax("[AVAILABLE_TOOLS]", "[/AVAILABLE_TOOLS]", "last_user", array=True),
    stops=("</s>", "[INST]"),
    trims=("[/INST]", "[SYSTEM_PROMPT]", "[TOOL_RESULTS]"),
    turn_order="mistral",
)
"""The model's own template."""

CHATML = PromptFormat(
    name="chatml",
    begin="",
    system=Delimiters("<|im_start|>system\n", "<|im_end|>\n"),
    user=Delimiters("<|im_start|>user\n", "<|im_end|>\n"),
    assistant=Delimiters("<|im_start|>assistant\n", "<|im_end|>\n"),
    tool=Delimiters("<|im_start|>tool\n", "<|im_end|>\n"),
    calls=ToolCallSyntax(arguments_key="arguments", open="<tool_call>\n", close="\n</tool_call>"),
    stops=("<|im_end|>",),
    trims=("<|im_start|>", "<|endoftext|>"),
)
"""The format of many small models; not in `FORMATS`, since no server of this model reads it."""

PromptFormatName = Literal["llama3", "mistral"]
"""The formats that can be chosen by name."""
FORMATS: dict[str, PromptFormat] = {known.name: known for known in (LLAMA3, MISTRAL)}


def get_format(name_or_format: str | PromptFormat) -> PromptFormat:
    """Return the prompt format of a name, or the one that is given; raise if there is none."""
    if isinstance(name_or_format, PromptFormat):
        return name_or_format
    known = FORMATS.get(name_or_format)
    if known is None:
        raise VoxtralInvalidRequestError(
            f"There is no prompt format {name_or_format!r}: choose one of "
            f"{', '.join(map(repr, FORMATS))}, or give a PromptFormat."
        )
    return known
