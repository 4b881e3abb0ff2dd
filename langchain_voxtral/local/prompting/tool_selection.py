"""Which tools a conversation asks for: a stated rule, because a small model cannot tell.

A tool is selected if the last user turn has a content word of the tool's name, or two different
content words of its description, its arguments' names and their choices; and if the tool was not
called since that turn. A turn that only brings recordings of tools is no such turn. Content words
are the words of a text in lower case, without an `s` at the end, and without `STOP_WORDS`; an
operator between two numbers adds its `OPERATOR_WORDS`.
"""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import takewhile
from typing import Any

from langchain_voxtral.messages.result_audio import INTRODUCTION
from langchain_voxtral.messages.turns import Turn

_STOP_WORDS = """
a about all also am an and any are argument as ask at be because been being between both but
by call can could current data default did do does doing each either else etc every example
fetch find for from function get getting give given gives had has have he her here him his
how i if in info information input into is it its itself just kind know let like list look
made make makes making many may me might more most much must my name need new no not now of
off on one only or other our out output over own parameter perform please provide query
read request respond response result return returned returning returns run same say search
set shall she should show so some something string such take tell text than that the their
them then there these they thing this those to tool type under up us use used user uses
using value very want was way we well were what when where whether which while who whom
whose why will with within without word would write you your
"""
STOP_WORDS = frozenset(_STOP_WORDS.split())
"""Words that say nothing about what a tool is for."""

OPERATOR_WORDS = {
    "+": {"add", "addition", "sum"},
    "-": {"subtract", "subtraction", "difference"},
    "*": {"multiply", "multiplication", "product"},
    "/": {"divide", "division", "quotient"},
}

_CAMEL_CASE = re.compile(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])")
_WORD = re.compile(r"[^\W\d_]{2,}")
_OPERATOR = re.compile(r"(?<=\d)\s*([-+*/])\s*(?=\d)")
_RECORDING_OF_TOOL = re.compile(INTRODUCTION.format(r"\d+") + "\n.*\n?")
"""What the client writes before a recording of a tool, and the transcript in its place."""
_MIN_DESCRIPTION_WORDS = 2
"""Words of a description that must occur; one is too often chance."""


def content_words(text: str) -> set[str]:
    """Return the words of a text that carry meaning, without an `s` at their end."""
    words = _WORD.findall(_CAMEL_CASE.sub(" ", text).lower())
    return {word.removesuffix("s") for word in words if word not in STOP_WORDS}


def select_tools(tools: Iterable[Mapping[str, Any]], turns: Sequence[Turn]) -> tuple[str, ...]:
    """Return the names of the tools that the last user turn asks for, and that were not called."""
    asked, called = _question_words(turns), _called_since_question(turns)
    functions = [tool["function"] for tool in tools]
    return tuple(
        function["name"]
        for function in functions
        if function["name"] not in called and _is_asked_for(function, asked)
    )


def select_required_tools(
    tools: Sequence[Mapping[str, Any]], turns: Sequence[Turn]
) -> tuple[str, ...]:
    """Return the names of the tools of which one must be called now.

    Those that are selected, by all words of their names if there are such (`get_weather` comes
    before `WeatherReport`); else those not called since the last user turn; else all. So an
    agent that must call a tool in every step comes to the one that ends it.
    """
    selected = select_tools(tools, turns)
    asked, called = _question_words(turns), _called_since_question(turns)
    fully_named = tuple(name for name in selected if set() < content_words(name) <= asked)
    names = tuple(tool["function"]["name"] for tool in tools)
    return fully_named or selected or tuple(name for name in names if name not in called) or names


def last_question(turns: Sequence[Turn]) -> str:
    """Return what the last user turn asks; "" if there is none."""
    questions = map(_question, reversed(turns))
    return next((question for question in questions if question is not None), "")


def _question(turn: Turn) -> str | None:
    """Return what a user turn asks; None if it is another turn, or only brings recordings."""
    if turn.role != "user":
        return None
    asked = _RECORDING_OF_TOOL.sub("", turn.text)
    return asked if asked or not turn.text else None


def _question_words(turns: Sequence[Turn]) -> set[str]:
    """Return the content words of the last user turn, with those of its operators."""
    question = last_question(turns)
    operators = _OPERATOR.findall(question)
    return content_words(question).union(*(OPERATOR_WORDS[operator] for operator in operators))


def _called_since_question(turns: Sequence[Turn]) -> set[str]:
    since = takewhile(lambda turn: _question(turn) is None, reversed(turns))
    return {call.name for turn in since for call in turn.tool_calls}


def _is_asked_for(function: Mapping[str, Any], asked: set[str]) -> bool:
    if content_words(function["name"]) & asked:
        return True
    described = content_words(" ".join(_description_texts(function)))
    return len(described & asked) >= _MIN_DESCRIPTION_WORDS


def _description_texts(function: Mapping[str, Any]) -> Iterator[str]:
    yield str(function.get("description") or "")
    parameters = function.get("parameters")
    properties = parameters.get("properties") if isinstance(parameters, Mapping) else None
    for name, schema in properties.items() if isinstance(properties, Mapping) else ():
        yield name
        choices = schema.get("enum") if isinstance(schema, Mapping) else None
        yield from map(str, choices if isinstance(choices, list) else ())
