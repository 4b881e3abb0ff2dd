"""The order of turns that Mistral's templates take."""

import logging
import re
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from langchain_voxtral.messages.results import missing_result, result_as_text
from langchain_voxtral.messages.turns import ToolCall, Turn

logger = logging.getLogger("langchain_voxtral")

SEPARATOR = Turn("assistant", "OK.")
"""Stands between the results of tools and a user's turn; the templates take no empty one."""

_MAX_NAME_LENGTH = 64
_NOT_IN_NAMES = re.compile(r"[^a-zA-Z0-9_-]")


@dataclass(slots=True)
class _Exchange:
    """An assistant's turn and what follows it, up to the next one; the first has none."""

    answer: Turn | None = None
    results: dict[str, Turn] = field(default_factory=dict)
    user: Turn | None = None

    @property
    def calls(self) -> tuple[ToolCall, ...]:
        return self.answer.tool_calls if self.answer else ()

    def add_result(self, result: Turn) -> bool:
        """Take a result of one of the calls; return whether it is one."""
        waiting = {call.id for call in self.calls} - self.results.keys()
        if result.tool_call_id not in waiting:
            return False
        self.results[result.tool_call_id] = result
        return True

    def add_user(self, turn: Turn) -> None:
        turn = replace(turn, role="user")
        self.user = turn.merged_after(self.user) if self.user else turn

    def join(self, answer: Turn) -> bool:
        """Take a further assistant's turn; return whether it can be one with the first."""
        if self.answer is None or self.results or self.user:
            return False
        calls = self.calls
        if calls and (not answer.tool_calls or _share_ids(calls, answer.tool_calls)):
            return False
        self.answer = replace(
            answer.merged_after(self.answer), tool_calls=(*calls, *answer.tool_calls)
        )
        return True


def arrange_for_mistral(turns: Sequence[Turn], *, keeps_system: bool = True) -> list[Turn]:
    """Return a conversation in the one order that every version of Mistral's templates takes.

    The checks differ between versions of `mistral-common` and the templates of `llama.cpp`; this
    order passes all of them. No text is left out.

    - A system turn may be the first; any other is the user's, where it stands.
    - Then user and assistant alternate, beginning with a user, whose turn may be empty. An
      assistant's turn may not: an empty one is left out.
    - The calls of an assistant's turn have their results right behind it, in their order, before
      what the user said meanwhile. A call without a result gets one that says so; a result that
      comes after the next assistant's turn is text of the user.
    - Between results and a user's turn stands a minimal assistant's turn.

    Args:
        turns: The conversation; the ids of a turn's calls differ.
        keeps_system: Whether a first system turn stays one; else it is the user's, too.
    """
    has_system = keeps_system and bool(turns) and turns[0].role == "system"
    arranged = [turns[0]] if has_system else []
    for exchange in _exchanges(turns[len(arranged) :]):
        if exchange.answer:
            arranged.append(exchange.answer)
        arranged += [
            exchange.results.get(call.id) or missing_result(call) for call in exchange.calls
        ]
        if exchange.calls and exchange.user:
            arranged.append(SEPARATOR)
        if exchange.user or not exchange.answer:
            arranged.append(exchange.user or Turn("user"))
    return arranged


def _exchanges(turns: Sequence[Turn]) -> list[_Exchange]:
    exchanges = [_Exchange()]
    names: dict[str | None, str] = {}
    for turn in turns:
        latest = exchanges[-1]
        if turn.role == "assistant":
            names.update((call.id, call.name) for call in turn.tool_calls)
            if (turn.text or turn.tool_calls) and not latest.join(turn):
                exchanges.append(_Exchange(turn))
        elif turn.role == "tool":
            if not latest.add_result(turn):
                latest.add_user(result_as_text(turn, names.get(turn.tool_call_id)))
        elif turn.role == "user" or turn.text:
            latest.add_user(turn)
    return exchanges


def _share_ids(calls: Sequence[ToolCall], others: Sequence[ToolCall]) -> bool:
    return not {call.id for call in calls}.isdisjoint(call.id for call in others)


def with_valid_tool_names(turn: Turn) -> Turn:
    """Return a turn whose calls have names that `mistral-common` takes: `[a-zA-Z0-9_-]{1,64}`."""
    calls = tuple(replace(call, name=_valid_name(call.name)) for call in turn.tool_calls)
    return replace(turn, tool_calls=calls)


def _valid_name(name: str) -> str:
    valid = _NOT_IN_NAMES.sub("_", name)[:_MAX_NAME_LENGTH] or "unknown"
    if valid != name:
        logger.warning("A call of the tool %r is sent as one of %r, which is a name.", name, valid)
    return valid
