"""Which tools a conversation calls for: a stated rule, because a small model cannot tell.

A tool is called for by the last user turn if that has a content word of the tool's name, or
two different content words of its description, its arguments' names and their choices; and if it
was not called since that turn. Content words are what is left of a text, in lower case, without
plural endings and without `STOP_WORDS`; a sign between two numbers also says its `SIGNS`.
"""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import takewhile
from typing import Any

from langchain_voxtral.messages.turns import Turn

__all__ = [
    "SIGNS",
    "STOP_WORDS",
    "called_for",
    "content_words",
    "last_request",
    "preferred",
]

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

_MULTIPLY = "multiply multiplication times product calculate calculator"
_DIVIDE = "divide division quotient calculate calculator"
SIGNS: Mapping[str, str] = {
    "+": "add addition plus sum calculate calculator",
    "-": "subtract subtraction minus difference calculate calculator",
    "*": _MULTIPLY,
    "\N{MULTIPLICATION SIGN}": _MULTIPLY,
    "/": _DIVIDE,
    "\N{DIVISION SIGN}": _DIVIDE,
}
"""What an arithmetic sign between two numbers says in words."""

_CAMEL = re.compile(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])")
_WORD = re.compile(r"[^\W\d_]+")
_SIGN = re.compile(rf"(?<=\d)\s*([{re.escape(''.join(SIGNS))}])\s*(?=\d)")
_LEAST = 2
"""Words of a description that must occur; one is too often chance."""


def content_words(text: str) -> frozenset[str]:
    """Return the stems of the words in a text that carry meaning.

    Example:
        ```python
        from langchain_voxtral.local.prompting.tool_selection import content_words

        assert content_words("getWeatherReports for the cities") == {"weather", "report", "city"}
        ```
    """
    words = _WORD.findall(_CAMEL.sub(" ", text).lower())
    return frozenset(_stem(word) for word in words if word not in STOP_WORDS and len(word) > 1)


def _stem(word: str) -> str:
    if word.endswith("ies") and len(word) > len("ties"):
        return word[:-3] + "y"
    if word.endswith(("sses", "shes", "ches", "xes")):
        return word[:-2]
    if word.endswith("s") and not word.endswith(("ss", "us", "is")):
        return word[:-1]
    return word


def called_for(tools: Iterable[Mapping[str, Any]], turns: Sequence[Turn]) -> tuple[str, ...]:
    """Return the names of the tools that the last user turn calls for and that wait for it.

    Args:
        tools: Tools on offer, in OpenAI's form.
        turns: The conversation.

    Example:
        ```python
        from langchain_voxtral.local.prompting.tool_selection import called_for
        from langchain_voxtral.messages import Turn

        tools = [{"type": "function", "function": {"name": "get_weather"}}]
        assert called_for(tools, [Turn("user", "How is the weather?")]) == ("get_weather",)
        assert called_for(tools, [Turn("user", "Hello!")]) == ()
        ```
    """
    said, called = _said(turns), _called_since(turns)
    functions = [tool["function"] for tool in tools]
    return tuple(
        function["name"]
        for function in functions
        if function["name"] not in called and _is_meant(function, said)
    )


def preferred(tools: Sequence[Mapping[str, Any]], turns: Sequence[Turn]) -> tuple[str, ...]:
    """Return the names of the tools of which one is to be called now, if one must be.

    Those that are called for, by all words of their names if there are such (the weather is
    asked of `get_weather`, before it is told to `WeatherReport`); else those not called since
    the last user turn; else all. So an agent that must call a tool in every step comes to the
    one that ends it.
    """
    asked = called_for(tools, turns)
    said = _said(turns)
    wholly = tuple(name for name in asked if content_words(name) and content_words(name) <= said)
    names = tuple(tool["function"]["name"] for tool in tools)
    called = _called_since(turns)
    return wholly or asked or tuple(name for name in names if name not in called) or names


def last_request(turns: Sequence[Turn]) -> str:
    """Return the text of the last user turn; "" if there is none."""
    return next((turn.text for turn in reversed(turns) if turn.role == "user"), "")


def _called_since(turns: Sequence[Turn]) -> frozenset[str]:
    """Return the names of the tools that were called since the last user turn."""
    since = takewhile(lambda turn: turn.role != "user", reversed(turns))
    return frozenset(call.name for turn in since for call in turn.tool_calls)


def _said(turns: Sequence[Turn]) -> frozenset[str]:
    """Return the content words of the last user turn, those of its signs too."""
    asked = last_request(turns)
    signs = (word for sign in _SIGN.findall(asked) for word in SIGNS[sign].split())
    return content_words(asked) | frozenset(signs)


def _is_meant(function: Mapping[str, Any], said: frozenset[str]) -> bool:
    if content_words(function["name"]) & said:
        return True
    described = content_words(" ".join(_described(function)))
    return len(described & said) >= _LEAST


def _described(function: Mapping[str, Any]) -> Iterator[str]:
    yield str(function.get("description") or "")
    parameters = function.get("parameters")
    properties = parameters.get("properties") if isinstance(parameters, Mapping) else None
    for name, schema in properties.items() if isinstance(properties, Mapping) else ():
        yield name
        choices = schema.get("enum") if isinstance(schema, Mapping) else None
        yield from map(str, choices if isinstance(choices, list) else ())
