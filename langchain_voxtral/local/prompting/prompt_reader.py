"""Input strings back to turns: what a server does that is given such a prompt."""

import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import NamedTuple

from langchain_voxtral.messages.turns import ToolCall, Turn
from langchain_voxtral.prompts.calls import split_calls
from langchain_voxtral.prompts.formats import CHATML, LLAMA3, MISTRAL, Delimiters, PromptFormat
from langchain_voxtral.prompts.offers import parse_tools, split_tools

__all__ = ["ParsedPrompt", "parse_prompt"]


@dataclass(frozen=True, slots=True)
class ParsedPrompt:
    """What a prompt says.

    Args:
        format: `llama3`, `mistral`, `chatml`, or `raw` for a text without markers.
        turns: The conversation, an unfinished assistant turn at its end excepted.
        prefill: The text of that unfinished turn, which the model is to continue; "" if none.
        tools: Tools on offer, in OpenAI's form, where the format has a place for them.
    """

    format: str
    turns: tuple[Turn, ...]
    prefill: str = ""
    tools: tuple[dict[str, object], ...] = ()


def parse_prompt(prompt: str) -> ParsedPrompt:
    r"""Return the conversation that a prompt in a known format holds; never raises.

    What `render` writes is read back as it was given. In formats that do not write the ids of
    calls, ids are made up and results are matched to calls by their order; and because a call
    is text there, an assistant's text that ends in lines of that form is read as calls.
    Prompts written by hand may be looser: fewer line breaks after a header than the format
    has, ends of turns left out. Text outside of turns is a user's, unless it is blank.

    Args:
        prompt: Any string; one without markers is a single user turn.

    Example:
        ```python
        from langchain_voxtral.messages import Turn
        from langchain_voxtral.local.prompting.prompt_reader import parse_prompt

        reading = parse_prompt("<s>[INST]Count.[/INST]One, ")
        assert reading.format == "mistral"
        assert reading.turns == (Turn("user", "Count."),)
        assert reading.prefill == "One, "
        ```
    """
    sign = _SIGNS.search(prompt)
    if sign is None:
        return ParsedPrompt("raw", (Turn("user", prompt),))
    scanner = _SCANNERS[str(sign.lastgroup)]
    *pieces, last = scanner.pieces(prompt)
    unfinished = last.kind == "assistant"
    book = _Book(scanner.fmt)
    for piece in pieces if unfinished else [*pieces, last]:
        book.add(piece)
    return ParsedPrompt(
        format=scanner.fmt.name,
        turns=tuple(book.turns),
        prefill=last.text if unfinished else "",
        tools=book.tools,
    )


class _Piece(NamedTuple):
    """A stretch of a prompt: a turn (`kind` is its role), the `tools` on offer, or neither."""

    kind: str
    text: str
    closed: bool


class _Scanner:
    """Cuts prompts of one format into pieces."""

    def __init__(self, fmt: PromptFormat) -> None:
        self.fmt = fmt
        around = {
            "system": fmt.system,
            "user": fmt.user,
            "assistant": fmt.assistant,
            "tool": fmt.tool,
        }
        if fmt.tools is not None and fmt.tools.place == "last_user":
            around["tools"] = Delimiters(fmt.tools.open, fmt.tools.close)
        opens = {kind: markers.open for kind, markers in around.items() if markers.open}
        self._closes = {kind: markers.close.rstrip("\n") for kind, markers in around.items()}
        # Where an assistant turn has no opening marker, what is outside of turns is one.
        self._outside = "assistant" if "assistant" not in opens else ""
        self._markers = re.compile(
            "|".join(
                [f"(?P<{kind}>{_loosely(marker)})" for kind, marker in opens.items()]
                + [_loosely(markers.close) for markers in around.values()]
            )
        )
        begin = rf"\A\s*{re.escape(fmt.begin)}"
        self._begin = re.compile(begin)
        self.signs = "|".join(
            ([begin] if fmt.begin else []) + [_loosely(marker) for marker in opens.values()]
        )

    def pieces(self, prompt: str) -> Iterator[_Piece]:
        begun = self._begin.match(prompt)
        start = begun.end() if begun else 0
        kind = self._outside
        for marker in self._markers.finditer(prompt, start):
            opened = marker.lastgroup
            # The end of another kind of turn is text in this one.
            if opened or not kind or self._closes[kind] == marker.group().rstrip("\n"):
                yield _Piece(kind, prompt[start : marker.start()], closed=not opened)
                start, kind = marker.end(), opened or self._outside
        yield _Piece(kind, prompt[start:], closed=False)


def _loosely(marker: str) -> str:
    """Return a pattern of a marker whose last line breaks may be missing."""
    bare = marker.rstrip("\n")
    return rf"{re.escape(bare)}\n{{0,{len(marker) - len(bare)}}}"


_SCANNERS = {fmt.name: _Scanner(fmt) for fmt in (LLAMA3, MISTRAL, CHATML)}
_SIGNS = re.compile("|".join(f"(?P<{name}>{known.signs})" for name, known in _SCANNERS.items()))


class _Book:
    """Makes turns of pieces, and the ids of calls and results that the format leaves out."""

    def __init__(self, fmt: PromptFormat) -> None:
        self.turns: list[Turn] = []
        self.tools: tuple[dict[str, object], ...] = ()
        self._fmt = fmt
        self._calls = 0
        self._unanswered: list[str] = []
        self._adders = {
            "system": self._add_system,
            "user": lambda piece: self.turns.append(Turn("user", piece.text)),
            "assistant": self._add_answer,
            "tool": self._add_result,
            "tools": self._add_tools,
            "": self._add_stray,
        }

    def add(self, piece: _Piece) -> None:
        self._adders[piece.kind](piece)

    def _add_stray(self, piece: _Piece) -> None:
        if piece.text.strip():
            self.turns.append(Turn("user", piece.text))

    def _add_answer(self, piece: _Piece) -> None:
        if not (self._fmt.assistant.open or piece.closed or piece.text.strip()):
            return  # nothing but space between the markers of two other turns
        text, found = split_calls(piece.text, self._fmt.calls)
        calls = tuple(self._with_id(call) for call in found)
        self._unanswered = [call.id for call in calls] or self._unanswered
        self.turns.append(Turn("assistant", text, calls))

    def _with_id(self, call: ToolCall) -> ToolCall:
        self._calls += 1
        return call if call.id else replace(call, id=f"call{self._calls:05d}")

    def _add_result(self, piece: _Piece) -> None:
        call_id, text = "", piece.text
        if self._fmt.result_id_end and self._fmt.result_id_end in text:
            call_id, _, text = text.partition(self._fmt.result_id_end)
        elif self._unanswered:
            call_id = self._unanswered.pop(0)
        self.turns.append(Turn("tool", text, tool_call_id=call_id or None))

    def _add_tools(self, piece: _Piece) -> None:
        tools = parse_tools(piece.text, self._fmt.tools) if self._fmt.tools else None
        if tools is None:
            self._add_stray(piece)
        else:
            self.tools = tools

    def _add_system(self, piece: _Piece) -> None:
        if self._fmt.tools is None or self._fmt.tools.place != "system":
            self.turns.append(Turn("system", piece.text))
            return
        text, tools = split_tools(piece.text, self._fmt.tools)
        self.tools = tools or self.tools
        if text or not tools:
            self.turns.append(Turn("system", text))
