"""Feed an answer to the parser of tool calls and join what comes out."""

from collections.abc import Collection, Sequence

from langchain_voxtral.tools.answer_parser import AnswerParser
from langchain_voxtral.tools.call_accumulator import ToolCallChunk
from langchain_voxtral.tools.call_parser import ToolCallParser

Found = tuple[str, list[tuple[str | None, str, str]]]
"""The text, and the id, name and arguments of each call."""


def parse(*pieces: str, names: Collection[str] = ("f", "get_time"), forced: bool = False) -> Found:
    """Feed pieces of an answer to a parser; the first part of a call must be its name alone."""
    return _join(ToolCallParser(names, forced=forced), pieces)


def parse_answer(
    *pieces: str,
    names: Collection[str] = ("f", "get_time"),
    forced: bool = False,
    beside_text: bool = True,
    any_name: bool = True,
) -> Found:
    """Feed pieces of an answer to a parser of answers, and join what comes out."""
    parser = AnswerParser(names, forced=forced, beside_text=beside_text, any_name=any_name)
    return _join(parser, pieces)


def _join(parser: ToolCallParser | AnswerParser, pieces: Sequence[str]) -> Found:
    parts = [part for piece in pieces for part in parser.feed(piece)] + parser.close()
    calls: list[tuple[str | None, str, str]] = []
    for part in parts:
        if isinstance(part, str):
            continue
        if part.name is not None:
            assert (part.index, part.arguments) == (len(calls), "")
            calls.append((part.id, part.name, ""))
        else:
            call_id, name, arguments = calls[part.index]
            assert part == ToolCallChunk(len(calls) - 1, arguments=part.arguments)
            calls[part.index] = (call_id, name, arguments + part.arguments)
    return "".join(part for part in parts if isinstance(part, str)), calls
