"""Turns to the input string of a prompt format."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from langchain_voxtral.errors import VoxtralInvalidRequestError
from langchain_voxtral.messages.turns import Turn
from langchain_voxtral.prompts.calls import render_calls
from langchain_voxtral.prompts.escaping import escape, escape_json, escape_tool_result
from langchain_voxtral.prompts.formats import PromptFormat, ToolPosition
from langchain_voxtral.prompts.offers import BLANK_LINE, render_tools
from langchain_voxtral.prompts.special_tokens import find_special_token
from langchain_voxtral.tools.call_ids import to_mistral_call_id
from langchain_voxtral.tools.json_text import dumps

SpecialTokens = Literal["neutralize", "error", "allow"]


@dataclass(frozen=True, slots=True)
class _EscapingMode:
    """What is done to control markers in content: in text, in tool results, in our JSON."""

    text: Callable[[str], str]
    result: Callable[[str], str]
    json: Callable[[str], str]


def _as_it_is(text: str) -> str:
    return text


_LEFT_ALONE = _EscapingMode(_as_it_is, _as_it_is, _as_it_is)
_ESCAPING_MODES: dict[SpecialTokens, _EscapingMode] = {
    "neutralize": _EscapingMode(escape, escape_tool_result, escape_json),
    "error": _LEFT_ALONE,  # content that has a marker is refused before
    "allow": _LEFT_ALONE,
}


def render(
    turns: Sequence[Turn],
    fmt: PromptFormat,
    *,
    special_tokens: SpecialTokens = "neutralize",
    tools: Sequence[Mapping[str, object]] = (),
    instruction: str = "",
) -> str:
    r"""Return the input string for a conversation; it ends where the model is to go on.

    A last assistant turn without tool calls is a prefill: the prompt ends inside it, and the
    model continues it. A system turn stands where it is in the conversation, in every format:
    so does `mistral-common`'s encoder of version 7, although its validation of requests
    refuses one after an assistant turn. Unlike that encoder this keeps spaces at the end of
    an assistant's text: a prefill or an interrupted answer must be continued exactly.

    Args:
        turns: The conversation, as `langchain_voxtral.messages.to_turns` makes it.
        fmt: The format.
        special_tokens: What to do with control markers, of any known format, in content:
            break them so that they are read as text, raise an error, or leave them.
        tools: Tools on offer in OpenAI's form, for a format that has a place for them.
        instruction: Trusted text that ends the first turn if that is a system turn, else a
            system turn of its own, such as the JSON schema of the answer for a server that
            cannot constrain it. A control marker in it is taken to stand in JSON.

    Raises:
        VoxtralInvalidRequestError: Content has a control marker and `special_tokens` is
            `"error"`; arguments or tools that JSON cannot express; a result without its call's
            id in a format that writes it; tools in a format that has no place for them, or
            without a user turn to stand before; an unknown `special_tokens`; a recording.

    Example:
        ```python
        from langchain_voxtral.messages import Turn
        from langchain_voxtral.prompts import MISTRAL, render

        turns = [Turn("user", "Q1"), Turn("assistant", "A1"), Turn("user", "Q2")]
        assert render(turns, MISTRAL) == "<s>[INST]Q1[/INST]A1</s>[INST]Q2[/INST]"
        ```
    """
    treatment = _ESCAPING_MODES.get(special_tokens)
    if treatment is None:
        raise VoxtralInvalidRequestError(
            f"special_tokens is {special_tokens!r}: choose one of "
            f"{', '.join(map(repr, _ESCAPING_MODES))}."
        )
    reject_audio(turns)
    if special_tokens == "error":
        reject_special_tokens(turns, tools, instruction)
    offers = _offers(tools, fmt, treatment)
    system_end = _joined(offers.get("system", ""), treatment.json(instruction))
    if system_end and not (turns and turns[0].role == "system"):
        turns = [Turn("system"), *turns]
    prefill = ""
    if turns and turns[-1].role == "assistant" and not turns[-1].tool_calls:
        turns, prefill = turns[:-1], turns[-1].text
    insides = [_inside(turn, fmt, treatment) for turn in turns]
    if system_end:
        insides[0] = _joined(insides[0], system_end)
    before = [""] * len(turns)
    if "last_user" in offers:
        before[_last_user(turns, fmt)] = offers["last_user"]
    around = {"system": fmt.system, "user": fmt.user, "assistant": fmt.assistant, "tool": fmt.tool}
    parts = [fmt.begin]
    for turn, offer, inside in zip(turns, before, insides, strict=True):
        markers = around[turn.role]
        parts += (offer, markers.open, inside, markers.close)
    parts += (fmt.assistant.open, treatment.text(prefill))
    return "".join(parts)


def reject_audio(turns: Sequence[Turn]) -> None:
    """Check that there are no recordings, which an input string cannot hold.

    Raises:
        VoxtralInvalidRequestError: There is one; the message says where.
    """
    for turn in turns:
        for recording in turn.audio:
            raise VoxtralInvalidRequestError(
                f"{recording.location}: the raw prompt of the native endpoint carries no audio: "
                "leave api='auto', or pass api='chat_completions', or send what is said in the "
                "recording as text."
            )


def _joined(*texts: str) -> str:
    return BLANK_LINE.join(filter(None, texts))


def _inside(turn: Turn, fmt: PromptFormat, treatment: _EscapingMode) -> str:
    if turn.role == "tool":
        return _result_id(turn, fmt) + treatment.result(turn.text)
    text = treatment.text(turn.text)
    if not turn.tool_calls:
        return text
    syntax = fmt.calls
    written = [
        syntax.open + treatment.json(json_text) + syntax.close
        for json_text in render_calls(turn.tool_calls, syntax)
    ]
    return syntax.separator.join([text, *written] if text else written)


def _result_id(turn: Turn, fmt: PromptFormat) -> str:
    if not fmt.result_id_end:
        return ""
    if turn.tool_call_id is None:
        raise VoxtralInvalidRequestError(
            f"A tool turn has no tool_call_id, and prompt format {fmt.name!r} writes it: "
            "give the id of the call that it answers."
        )
    return to_mistral_call_id(turn.tool_call_id) + fmt.result_id_end


def _offers(
    tools: Sequence[Mapping[str, object]], fmt: PromptFormat, treatment: _EscapingMode
) -> dict[ToolPosition, str]:
    """Return the description of the tools by the place where it is to stand."""
    if not tools:
        return {}
    if fmt.tools is None:
        raise VoxtralInvalidRequestError(
            f"Prompt format {fmt.name!r} has no place for tools: give it one, as "
            "PromptFormat(tools=ToolDefinitionSyntax(...)), or describe them in a system message."
        )
    return {fmt.tools.place: render_tools(tools, fmt.tools, treatment.json)}


def _last_user(turns: Sequence[Turn], fmt: PromptFormat) -> int:
    last = max((at for at, turn in enumerate(turns) if turn.role == "user"), default=None)
    if last is None:
        raise VoxtralInvalidRequestError(
            f"Prompt format {fmt.name!r} describes tools before the last user message, and "
            "there is none: add one."
        )
    return last


def reject_special_tokens(
    turns: Sequence[Turn], tools: Sequence[Mapping[str, object]], instruction: str
) -> None:
    """Refuse content that has a control marker of any known format.

    Raises:
        VoxtralInvalidRequestError: It has one; the message says where.
    """
    for index, turn in enumerate(turns):
        _refuse_marker(
            turn.text,
            f"The text of turn {index} ({turn.role})",
        )
        for call in turn.tool_calls:
            written = dumps([call.name, call.arguments], what=f"the arguments of {call.name!r}")
            _refuse_marker(written, f"The call of {call.name!r} in turn {index} ({turn.role})")
    for tool in tools:
        _refuse_marker(dumps(dict(tool), what="the tools"), "The description of a tool")
    _refuse_marker(instruction, "The instruction")


def _refuse_marker(text: str, where: str) -> None:
    marker = find_special_token(text)
    if marker is not None:
        raise VoxtralInvalidRequestError(
            f"{where} contains the control marker {marker.group()!r} at character "
            f"{marker.start()}: remove it, or use special_tokens='neutralize', which sends it "
            "as harmless text."
        )
