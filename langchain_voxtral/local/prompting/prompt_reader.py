"""Input strings back to turns: what a server does that is given such a prompt."""

import json
import re
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import NamedTuple

from langchain_voxtral.messages.turns import ToolCall, Turn
from langchain_voxtral.prompts.formats import (
    CHATML,
    LLAMA3,
    MISTRAL,
    Delimiters,
    PromptFormat,
    ToolCallSyntax,
    ToolDefinitionSyntax,
)
from langchain_voxtral.prompts.render import BLANK_LINE

Tools = tuple[dict[str, object], ...]


@dataclass(frozen=True, slots=True)
class ParsedPrompt:
    """The conversation of a prompt.

    Args:
        format: `llama3`, `mistral`, `chatml`, or `raw` for a text without special tokens.
        turns: The conversation, an unfinished assistant turn at its end excepted.
        prefill: The text of that unfinished turn, which the model is to continue; "" if none.
        tools: Tools on offer, in OpenAI's form, where the format has a place for them.
    """

    format: str
    turns: tuple[Turn, ...]
    prefill: str = ""
    tools: Tools = ()


def parse_prompt(prompt: str) -> ParsedPrompt:
    """Return the conversation in a prompt of a known format; never raises.

    What `render` writes is read back as it was given. In formats that do not write the ids of
    calls, ids are made up and results are matched to calls by their order; and because a call
    is text there, an assistant's text that ends in lines of that form is read as calls.
    Prompts written by hand may be looser: fewer line breaks after a header than the format
    has, ends of turns left out. Text outside of turns is a user's, unless it is blank. A prompt
    without special tokens is a single user turn. The time it takes is linear.
    """
    first = _FIRST_TOKEN.search(prompt)
    if first is None:
        return ParsedPrompt("raw", (Turn("user", prompt),))
    scanner = _SCANNERS[str(first.lastgroup)]
    *segments, last = scanner.split(prompt)
    is_unfinished = last.kind == "assistant"
    builder = _TurnBuilder(scanner.format)
    for segment in segments if is_unfinished else [*segments, last]:
        builder.add(segment)
    prefill = last.text if is_unfinished else ""
    return ParsedPrompt(scanner.format.name, tuple(builder.turns), prefill, builder.tools)


class _Segment(NamedTuple):
    """A part of a prompt: a turn (`kind` is its role), the `tools` on offer, or neither."""

    kind: str
    text: str
    is_closed: bool


class _Scanner:
    """Splits prompts of one format into segments."""

    def __init__(self, fmt: PromptFormat) -> None:
        self.format = fmt
        delimiters = {
            "system": fmt.system,
            "user": fmt.user,
            "assistant": fmt.assistant,
            "tool": fmt.tool,
        }
        if fmt.tools is not None and fmt.tools.place == "last_user":
            delimiters["tools"] = Delimiters(fmt.tools.open, fmt.tools.close)
        opens = {kind: pair.open for kind, pair in delimiters.items() if pair.open}
        self._closes = {kind: pair.close.rstrip("\n") for kind, pair in delimiters.items()}
        # Where an assistant turn has no opening token, what is outside of turns is one.
        self._outside = "assistant" if "assistant" not in opens else ""
        self._delimiters = re.compile(
            "|".join(
                [f"(?P<{kind}>{_pattern(token)})" for kind, token in opens.items()]
                + [_pattern(pair.close) for pair in delimiters.values()]
            )
        )
        begin = rf"\A\s*{re.escape(fmt.begin)}"
        self._begin = re.compile(begin)
        self.first_token = "|".join(
            ([begin] if fmt.begin else []) + [_pattern(token) for token in opens.values()]
        )

    def split(self, prompt: str) -> Iterator[_Segment]:
        begin = self._begin.match(prompt)
        start = begin.end() if begin else 0
        kind = self._outside
        for token in self._delimiters.finditer(prompt, start):
            opened = token.lastgroup
            # The end of another kind of turn is text in this one.
            if opened or not kind or self._closes[kind] == token.group().rstrip("\n"):
                yield _Segment(kind, prompt[start : token.start()], is_closed=not opened)
                start, kind = token.end(), opened or self._outside
        yield _Segment(kind, prompt[start:], is_closed=False)


def _pattern(token: str) -> str:
    """Return a pattern of a delimiter whose last line breaks may be missing."""
    bare = token.rstrip("\n")
    return rf"{re.escape(bare)}\n{{0,{len(token) - len(bare)}}}"


_SCANNERS = {fmt.name: _Scanner(fmt) for fmt in (LLAMA3, MISTRAL, CHATML)}
_FIRST_TOKEN = re.compile(
    "|".join(f"(?P<{name}>{scanner.first_token})" for name, scanner in _SCANNERS.items())
)


class _TurnBuilder:
    """Makes turns of segments, and the ids of calls and results that the format leaves out."""

    def __init__(self, fmt: PromptFormat) -> None:
        self.turns: list[Turn] = []
        self.tools: Tools = ()
        self._format = fmt
        self._calls = 0
        self._unanswered: deque[str] = deque()
        self._adders = {
            "system": self._add_system,
            "user": lambda segment: self.turns.append(Turn("user", segment.text)),
            "assistant": self._add_assistant,
            "tool": self._add_result,
            "tools": self._add_tools,
            "": self._add_stray_text,
        }

    def add(self, segment: _Segment) -> None:
        self._adders[segment.kind](segment)

    def _add_stray_text(self, segment: _Segment) -> None:
        if segment.text.strip():
            self.turns.append(Turn("user", segment.text))

    def _add_assistant(self, segment: _Segment) -> None:
        if not (self._format.assistant.open or segment.is_closed or segment.text.strip()):
            return  # nothing but space between the delimiters of two other turns
        text, found = split_calls(segment.text, self._format.calls)
        calls = tuple(self._with_id(call) for call in found)
        if calls:
            self._unanswered = deque(call.id for call in calls)
        self.turns.append(Turn("assistant", text, calls))

    def _with_id(self, call: ToolCall) -> ToolCall:
        self._calls += 1
        return call if call.id else replace(call, id=f"call{self._calls:05d}")

    def _add_result(self, segment: _Segment) -> None:
        call_id, text = "", segment.text
        if self._format.result_id_end and self._format.result_id_end in text:
            call_id, _, text = text.partition(self._format.result_id_end)
        elif self._unanswered:
            call_id = self._unanswered.popleft()
        self.turns.append(Turn("tool", text, tool_call_id=call_id or None))

    def _add_tools(self, segment: _Segment) -> None:
        tools = _parse_tools(segment.text, self._format.tools) if self._format.tools else None
        if tools is None:
            self._add_stray_text(segment)
        else:
            self.tools = tools

    def _add_system(self, segment: _Segment) -> None:
        if self._format.tools is None or self._format.tools.place != "system":
            self.turns.append(Turn("system", segment.text))
            return
        text, tools = _split_tools(segment.text, self._format.tools)
        self.tools = tools or self.tools
        if text or not tools:
            self.turns.append(Turn("system", text))


def split_calls(text: str, syntax: ToolCallSyntax) -> tuple[str, list[ToolCall]]:
    """Split an assistant's text from the calls at its end; an id that is not written is ""."""
    found: list[list[ToolCall]] = []
    gap = syntax.separator + syntax.open
    end = len(text)
    while text.endswith(syntax.close, 0, end):
        json_end = end - len(syntax.close)
        at = text.rfind(gap, 0, json_end)
        if at < 0 and not text.startswith(syntax.open):
            break
        json_start = at + len(gap) if at >= 0 else len(syntax.open)
        calls = _parse_calls(text[json_start:json_end], syntax)
        if not calls:
            break
        found.append(calls)
        end = max(at, 0)
        if at < 0:
            break
    return text[:end], [call for calls in reversed(found) for call in calls]


def _parse_calls(text: str, syntax: ToolCallSyntax) -> list[ToolCall]:
    """Return the calls of one JSON text; none unless all of it is calls."""
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        return []
    values = value if syntax.array and isinstance(value, list) else [value]
    calls = [call for value in values if (call := _parse_call(value, syntax)) is not None]
    return calls if len(calls) == len(values) else []


def _parse_call(value: object, syntax: ToolCallSyntax) -> ToolCall | None:
    known = {"name", syntax.arguments_key, syntax.id_key} - {""}
    if not isinstance(value, dict) or not value.keys() <= known:
        return None
    name, arguments = value.get("name"), value.get(syntax.arguments_key)
    call_id = value.get(syntax.id_key, "")
    if isinstance(name, str) and isinstance(arguments, dict) and isinstance(call_id, str):
        return ToolCall(call_id, name, arguments)
    return None


def _split_tools(text: str, syntax: ToolDefinitionSyntax) -> tuple[str, Tools]:
    """Split the text of a system turn from the tools that it offers."""
    before, _, rest = text.partition(syntax.open)
    section, _, after = rest.partition(syntax.close + BLANK_LINE)
    tools = _parse_tools(section if after else section.removesuffix(syntax.close), syntax)
    if not tools:
        return text, ()
    return BLANK_LINE.join(filter(None, (before.removesuffix(BLANK_LINE), after))), tools


def _parse_tools(text: str, syntax: ToolDefinitionSyntax) -> Tools | None:
    """Return the tools of a JSON text, in OpenAI's form; None unless all of it is tools."""
    try:
        values = json.loads(text) if syntax.array else list(map(json.loads, text.split("\n")))
    except (ValueError, RecursionError):
        return None
    if not isinstance(values, list) or not all(isinstance(value, dict) for value in values):
        return None
    return tuple(value if syntax.wrapped else _wrap(value) for value in values)


def _wrap(value: dict[str, object]) -> dict[str, object]:
    return {"type": "function", "function": value} if "name" in value else value
