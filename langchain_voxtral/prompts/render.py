"""Turns and tools to the input string of a prompt format."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from langchain_voxtral.errors import VoxtralInvalidRequestError
from langchain_voxtral.messages.turns import ToolCall, Turn
from langchain_voxtral.prompts.escaping import (
    WORD_JOINER,
    escape,
    escape_json,
    escape_tool_result,
)
from langchain_voxtral.prompts.formats import (
    PromptFormat,
    ToolCallSyntax,
    ToolDefinitionSyntax,
    ToolPosition,
)
from langchain_voxtral.prompts.special_tokens import find_special_token
from langchain_voxtral.tools.call_ids import to_mistral_call_id
from langchain_voxtral.tools.json_text import dumps

BLANK_LINE = "\n\n"
"""Stands between the text of a system turn, the tools on offer, and an instruction."""

SpecialTokens = Literal["neutralize", "error", "allow"]


@dataclass(frozen=True, slots=True)
class _EscapingMode:
    """What is done to special tokens in text, in tool results, and in JSON written here."""

    text: Callable[[str], str]
    result: Callable[[str], str]
    json: Callable[[str], str]


_UNCHANGED = _EscapingMode(str, str, str)
_ESCAPING_MODES: dict[SpecialTokens, _EscapingMode] = {
    "neutralize": _EscapingMode(escape, escape_tool_result, escape_json),
    "error": _UNCHANGED,  # content that has a special token is rejected before
    "allow": _UNCHANGED,
}


def render(
    turns: Sequence[Turn],
    fmt: PromptFormat,
    *,
    special_tokens: SpecialTokens = "neutralize",
    tools: Sequence[Mapping[str, object]] = (),
    instruction: str = "",
) -> str:
    """Return the input string for a conversation; raise if the format cannot express it.

    A last assistant turn without tool calls is a prefill: the prompt ends inside it, and the
    model continues it. Turns are written in the order that they have; what a strict template
    takes is `arrange_for_mistral`'s affair. Unlike Mistral's encoder this keeps spaces at the
    end of an assistant's text: a prefill or an interrupted answer must be continued exactly.

    Args:
        turns: The conversation.
        fmt: The format.
        special_tokens: What to do with special tokens, of any known format, in content:
            break them so that they are read as text, raise an error, or leave them.
        tools: Tools on offer in OpenAI's form, for a format that has a place for them.
        instruction: Trusted text that ends the first turn if that is a system turn, else a
            system turn of its own, such as the JSON schema of the answer for a server that
            cannot constrain it. A special token in it is taken to stand in JSON.

    Example:
        ```python
        from langchain_voxtral.messages import Turn
        from langchain_voxtral.prompts import MISTRAL, render

        turns = [Turn("user", "Q1"), Turn("assistant", "A1"), Turn("user", "Q2")]
        assert render(turns, MISTRAL) == "<s>[INST]Q1[/INST]A1</s>[INST]Q2[/INST]"
        ```
    """
    mode = _ESCAPING_MODES.get(special_tokens)
    if mode is None:
        raise VoxtralInvalidRequestError(
            f"special_tokens is {special_tokens!r}: choose one of "
            f"{', '.join(map(repr, _ESCAPING_MODES))}."
        )
    reject_audio(turns)
    if special_tokens == "error":
        reject_special_tokens(turns, tools, instruction)
    offered = _offered_tools(tools, fmt, mode)
    system_end = _paragraphs(offered.get("system", ""), mode.json(instruction))
    if system_end and not (turns and turns[0].role == "system"):
        turns = [Turn("system"), *turns]
    prefill = ""
    if turns and turns[-1].role == "assistant" and not turns[-1].tool_calls:
        turns, prefill = turns[:-1], turns[-1].text
    contents = [_content(turn, fmt, mode) for turn in turns]
    if system_end:
        contents[0] = _paragraphs(contents[0], system_end)
    tools_before = _last_user(turns, fmt) if "last_user" in offered else None
    around = {"system": fmt.system, "user": fmt.user, "assistant": fmt.assistant, "tool": fmt.tool}
    parts = [fmt.begin]
    for index, (turn, content) in enumerate(zip(turns, contents, strict=True)):
        if index == tools_before:
            parts.append(offered["last_user"])
        delimiters = around[turn.role]
        parts += (delimiters.open, content, delimiters.close)
    parts += (fmt.assistant.open, mode.text(prefill))
    return "".join(parts)


def render_calls(calls: Sequence[ToolCall], syntax: ToolCallSyntax) -> list[str]:
    """Return the JSON texts of tool calls: one for each, or one array of them all."""
    texts = [_call(call, syntax) for call in calls]
    return [f"[{', '.join(texts)}]"] if syntax.array else texts


def render_tools(tools: Sequence[Mapping[str, object]], syntax: ToolDefinitionSyntax) -> str:
    """Return the JSON that describes tools, given in OpenAI's form."""
    values = [dict(tool) if syntax.wrapped else _function(tool) for tool in tools]
    texts = [dumps(value, what="the tools") for value in ([values] if syntax.array else values)]
    return "\n".join(texts)


def adds_word_joiners(turns: Iterable[Turn]) -> bool:
    """Return whether rendering breaks special tokens in texts by word joiners, by default."""
    mode = _ESCAPING_MODES["neutralize"]
    for turn in turns:
        escaped = mode.result(turn.text) if turn.role == "tool" else mode.text(turn.text)
        if escaped.count(WORD_JOINER) > turn.text.count(WORD_JOINER):
            return True
    return False


def reject_audio(turns: Iterable[Turn]) -> None:
    """Raise if there is a recording, which an input string cannot hold."""
    for turn in turns:
        for recording in turn.audio:
            raise VoxtralInvalidRequestError(
                f"{recording.location}: the raw prompt of the native endpoint carries no audio: "
                "leave api='auto', or pass api='chat_completions', or send what is said in the "
                "recording as text."
            )


def reject_special_tokens(
    turns: Sequence[Turn], tools: Sequence[Mapping[str, object]], instruction: str
) -> None:
    """Raise if content has a special token of any known format."""
    for index, turn in enumerate(turns):
        _reject_special_token(turn.text, f"The text of turn {index} ({turn.role})")
        for call in turn.tool_calls:
            text = dumps([call.name, call.arguments], what=f"the arguments of {call.name!r}")
            _reject_special_token(text, f"The call of {call.name!r} in turn {index} ({turn.role})")
    for tool in tools:
        _reject_special_token(dumps(dict(tool), what="the tools"), "The description of a tool")
    _reject_special_token(instruction, "The instruction")


def _reject_special_token(text: str, where: str) -> None:
    token = find_special_token(text)
    if token is not None:
        raise VoxtralInvalidRequestError(
            f"{where} contains the special token {token.group()!r} at character "
            f"{token.start()}: remove it, or use special_tokens='neutralize', which sends it "
            "as harmless text."
        )


def _paragraphs(*texts: str) -> str:
    return BLANK_LINE.join(filter(None, texts))


def _content(turn: Turn, fmt: PromptFormat, mode: _EscapingMode) -> str:
    """Return what stands between the delimiters of a turn."""
    if turn.role == "tool":
        return _result_id(turn, fmt) + mode.result(turn.text)
    text = mode.text(turn.text)
    if not turn.tool_calls:
        return text
    syntax = fmt.calls
    calls = [
        syntax.open + mode.json(json_text) + syntax.close
        for json_text in render_calls(turn.tool_calls, syntax)
    ]
    return syntax.separator.join([text, *calls] if text else calls)


def _call(call: ToolCall, syntax: ToolCallSyntax) -> str:
    value: dict[str, object] = {"name": call.name, syntax.arguments_key: call.arguments}
    if syntax.id_key:
        value[syntax.id_key] = to_mistral_call_id(call.id)
    return dumps(value, what=f"the arguments of the call of {call.name!r}")


def _result_id(turn: Turn, fmt: PromptFormat) -> str:
    if not fmt.result_id_end:
        return ""
    if turn.tool_call_id is None:
        raise VoxtralInvalidRequestError(
            f"A tool turn has no tool_call_id, and prompt format {fmt.name!r} writes it: "
            "give the id of the call that it answers."
        )
    return to_mistral_call_id(turn.tool_call_id) + fmt.result_id_end


def _offered_tools(
    tools: Sequence[Mapping[str, object]], fmt: PromptFormat, mode: _EscapingMode
) -> dict[ToolPosition, str]:
    """Return the description of the tools by the position where it is to stand."""
    if not tools:
        return {}
    if fmt.tools is None:
        raise VoxtralInvalidRequestError(
            f"Prompt format {fmt.name!r} has no place for tools: give it one, as "
            "PromptFormat(tools=ToolDefinitionSyntax(...)), or describe them in a system message."
        )
    syntax = fmt.tools
    return {syntax.place: syntax.open + mode.json(render_tools(tools, syntax)) + syntax.close}


def _function(tool: Mapping[str, object]) -> object:
    """Return only the function of a tool in OpenAI's form; anything else as it is."""
    function = tool.get("function")
    is_plain = tool.keys() == {"type", "function"} and tool["type"] == "function"
    return function if is_plain and isinstance(function, dict) and "name" in function else tool


def _last_user(turns: Sequence[Turn], fmt: PromptFormat) -> int:
    last = max((at for at, turn in enumerate(turns) if turn.role == "user"), default=None)
    if last is None:
        raise VoxtralInvalidRequestError(
            f"Prompt format {fmt.name!r} describes tools before the last user message, and "
            "there is none: add one."
        )
    return last
