"""LangChain messages to turns: roles alternate, and tool results stand in the order of calls."""

from collections.abc import Collection, Iterable, Sequence
from dataclasses import replace
from itertools import chain, count, groupby

from langchain_core.messages import (
    AIMessage,
    BaseMessage,
    ChatMessage,
    FunctionMessage,
    HumanMessage,
    RemoveMessage,
    SystemMessage,
    ToolMessage,
)

from langchain_voxtral.errors import VoxtralInvalidRequestError
from langchain_voxtral.messages.content import parse_content
from langchain_voxtral.messages.result_audio import move_recordings_behind_results, read_blocks
from langchain_voxtral.messages.results import (
    as_error,
    missing_result,
    result_as_text,
    warn_same_id,
)
from langchain_voxtral.messages.turns import Role, ToolCall, Turn

_ROLES: tuple[tuple[type[BaseMessage], Role], ...] = (
    (HumanMessage, "user"),
    (AIMessage, "assistant"),
    (ToolMessage, "tool"),
    (SystemMessage, "system"),
)
_CHAT_ROLES: dict[str, Role] = {
    "user": "user",
    "human": "user",
    "assistant": "assistant",
    "ai": "assistant",
    "system": "system",
    "developer": "system",  # OpenAI's newer name
    "tool": "tool",
}
_NOT_PARSED = "the arguments are no JSON object"
_REJECTED: tuple[tuple[type[BaseMessage], str], ...] = (
    (FunctionMessage, "it names no call that it answers: use ToolMessage with tool_call_id"),
    (RemoveMessage, "it is an instruction to LangGraph's add_messages: apply it first"),
)


def to_turns(messages: Sequence[BaseMessage]) -> list[Turn]:
    """Return a conversation as turns; raise if it has what cannot be sent.

    - Messages of the same role that follow each other become one turn, with a blank line
      between their texts; an empty one adds nothing. Results of tools stay apart, since each
      answers its own call. Nothing is added to an assistant turn after its calls, since it
      would be read as text before them.
    - Blocks of text are joined with nothing between, documents with a blank line. Recordings
      stay where they are among them.
    - A human message's `name` goes before its text as `Name: `. An AI message's does not:
      LangGraph always sets it, and the model would learn to begin its answers with it.
    - Of messages by other providers' models, reasoning is left out, and calls are taken from
      `tool_calls`. A call in `invalid_tool_calls` becomes a call whose argument
      `invalid_arguments` is the text that could not be parsed, so that the model sees what it
      wrote, and the error has a call to answer. A call without an id gets one.
    - Results are put into the order of their calls: some prompt formats do not write ids. The
      text of a failed one begins with `Error: ` unless it begins with that word anyway.
    - Recordings in results begin the user's turn behind the results. A result that is JSON of
      content blocks with a recording among them is these blocks: LangChain writes them so.
    - A result whose call is not there becomes text of a user's turn. Of calls that are answered
      in part, the others get a result that says so, or that is the error of an invalid call.

    Example:
        ```python
        from langchain_core.messages import HumanMessage, SystemMessage
        from langchain_voxtral.messages import Turn, to_turns

        assert to_turns([SystemMessage("Be brief."), HumanMessage("Hello!", name="Ada")]) == [
            Turn("system", "Be brief."),
            Turn("user", "Ada: Hello!"),
        ]
        ```
    """
    if not messages:
        raise VoxtralInvalidRequestError("There are no messages: give at least one.")
    turns = [to_turn(index, message) for index, message in enumerate(messages)]
    return join_turns(turns, [message.name for message in messages])


def join_turns(turns: Sequence[Turn], names: Sequence[str | None]) -> list[Turn]:
    """Return the turns of single messages as those of a conversation; see `to_turns`.

    Args:
        turns: The turn of each message.
        names: The name in each message; that of a result may be its tool's.
    """
    joined: list[Turn] = []
    matcher = ResultMatcher()
    for index, (turn, name) in enumerate(zip(turns, names, strict=True)):
        _extend(joined, matcher.add(index, turn, name))
    _extend(joined, matcher.complete())
    ordered = _with_results_in_call_order(joined)
    if any(turn.role == "tool" and turn.parts for turn in ordered):
        return move_recordings_behind_results(ordered)
    return ordered


def merge_turns(turns: Iterable[Turn]) -> list[Turn]:
    """Return turns in which those of one role that follow each other are one."""
    merged: list[Turn] = []
    _extend(merged, turns)
    return merged


def to_turn(index: int, message: BaseMessage) -> Turn:
    """Return the message of a number as a turn; raise if it cannot be sent, by itself."""
    role = _role(index, message)
    where = f"messages[{index}] ({role})"
    has_tool_calls = False
    call_id = None
    content = message.content
    if role == "tool":
        call_id = getattr(message, "tool_call_id", None)
        content = (isinstance(content, str) and read_blocks(content)) or content
    if isinstance(content, str):
        turn = Turn(role, content, tool_call_id=call_id)
    else:
        parsed = parse_content(content, where=where, role=role)
        turn = Turn(role, tool_call_id=call_id).with_content(parsed.content)
        has_tool_calls = parsed.has_tool_calls
    if role == "assistant":
        calls = _calls(index, message)
        has_calls = has_tool_calls or "function_call" in message.additional_kwargs
        if has_calls and not calls:
            raise VoxtralInvalidRequestError(
                f"{where} calls a tool in its content or additional_kwargs, and its tool_calls "
                "are empty: put the call there, as AIMessage(tool_calls=[...])."
            )
        return replace(turn, tool_calls=calls) if calls else turn
    if role == "tool" and getattr(message, "status", "success") == "error":
        return as_error(turn)
    if role == "user" and message.name:
        return turn.with_content([f"{message.name}: ", *turn.content])
    return turn


def _role(index: int, message: object) -> Role:
    where = f"messages[{index}]"
    if not isinstance(message, BaseMessage):
        raise VoxtralInvalidRequestError(
            f"{where} is a {type(message).__name__}, not a LangChain message: use HumanMessage, "
            "AIMessage, SystemMessage or ToolMessage."
        )
    for kind, role in _ROLES:
        if isinstance(message, kind):
            return role
    if isinstance(message, ChatMessage) and message.role in _CHAT_ROLES:
        return _CHAT_ROLES[message.role]
    for kind, reason in _REJECTED:
        if isinstance(message, kind):
            raise VoxtralInvalidRequestError(
                f"{where} is a {type(message).__name__} and cannot be sent; {reason}."
            )
    unknown = message.role if isinstance(message, ChatMessage) else message.type
    raise VoxtralInvalidRequestError(
        f"{where} is a {type(message).__name__} of the unknown role {unknown!r}: "
        f"use one of {', '.join(_CHAT_ROLES)}."
    )


def _calls(index: int, message: BaseMessage) -> tuple[ToolCall, ...]:
    valid = [(call, call["args"], "") for call in getattr(message, "tool_calls", ())]
    invalid = [
        (call, {"invalid_arguments": call["args"] or ""}, call.get("error") or _NOT_PARSED)
        for call in getattr(message, "invalid_tool_calls", ())
    ]
    return tuple(
        ToolCall(call["id"] or f"call_{index}_{number}", call["name"] or "", arguments, error)
        for number, (call, arguments, error) in enumerate(valid + invalid)
    )


def _extend(turns: list[Turn], following: Iterable[Turn]) -> None:
    for turn in following:
        if turns and _can_merge(turns[-1], turn):
            turns[-1] = turn.merged_after(turns[-1])
        else:
            turns.append(turn)


def _can_merge(earlier: Turn, later: Turn) -> bool:
    return earlier.role == later.role != "tool" and not earlier.tool_calls


def _with_results_in_call_order(turns: list[Turn]) -> list[Turn]:
    numbers = count()
    position: dict[str | None, int] = {}  # of the latest call of each id
    ordered: list[Turn] = []
    for are_results, run in groupby(turns, key=lambda turn: turn.role == "tool"):
        if are_results:
            ordered += sorted(run, key=lambda turn: position[turn.tool_call_id])
            continue
        for turn in run:
            ordered.append(turn)
            position.update((call.id, next(numbers)) for call in turn.tool_calls)
    return ordered


def _unique_id(call_id: str, taken: Collection[str]) -> str:
    candidates = chain([call_id], (f"{call_id}_{number}" for number in count(2)))
    return next(candidate for candidate in candidates if candidate not in taken)


class ResultMatcher:
    """Pairs results with calls, and makes the pairs complete.

    - Ids may be used again by a later turn, as some models do (`call_0` in each turn). Calls of
      one turn with the same id get different ones, and their results are taken in order.
    - Calls of which none is answered pass: the user went on without them. If some are, the
      others get a result that says so.
    - A result that no call waits for becomes text of a user's turn, behind the results beside it.
    """

    def __init__(self) -> None:
        self._open: dict[str | None, list[ToolCall]] = {}  # waiting calls by the id in messages
        self._names: dict[str | None, str] = {}  # names of all called tools by that id
        self._pending: dict[str, ToolCall] = {}  # waiting calls of the latest turn with calls
        self._has_results = False  # whether one of that turn's calls is answered since `complete`
        self._orphans: list[Turn] = []

    def add(self, index: int, turn: Turn, tool_name: str | None) -> list[Turn]:
        """Take the turn of a message in; return the turns that follow the earlier ones.

        A result's message may name the tool.
        """
        if turn.role == "tool":
            return self._add_result(turn, tool_name)
        completed = self.complete()
        return [*completed, self._open_calls(index, turn) if turn.tool_calls else turn]

    def complete(self) -> list[Turn]:
        """Return what the results so far lack, and what could not stand among them."""
        completed = []
        if self._has_results and self._pending:
            completed = [missing_result(call) for call in self._pending.values()]
            self._open, self._pending = {}, {}
        completed += self._orphans
        self._has_results, self._orphans = False, []
        return completed

    def _open_calls(self, index: int, turn: Turn) -> Turn:
        opened: dict[str | None, list[ToolCall]] = {}
        self._pending = {}
        for call in turn.tool_calls:
            unique_id = _unique_id(call.id, self._pending)
            if unique_id != call.id:
                warn_same_id(index, call.id)
            self._pending[unique_id] = replace(call, id=unique_id)
            opened.setdefault(call.id, []).append(self._pending[unique_id])
            self._names[call.id] = call.name
        self._open |= opened
        return replace(turn, tool_calls=tuple(self._pending.values()))

    def _add_result(self, turn: Turn, tool_name: str | None) -> list[Turn]:
        waiting = self._open.get(turn.tool_call_id)
        if not waiting:
            name = tool_name or self._names.get(turn.tool_call_id)
            self._orphans.append(result_as_text(turn, name))
            return []
        call = waiting.pop(0)
        self._has_results |= self._pending.pop(call.id, None) is not None
        return [replace(turn, tool_call_id=call.id)]
