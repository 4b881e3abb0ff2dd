"""LangChain messages to turns: roles alternate, and tool results stand in the order of calls."""

from collections.abc import Collection, Iterator, Sequence
from dataclasses import replace
from itertools import count, groupby

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
    - Blocks of text are joined with nothing between. Recordings stay where they are among them.
    - A human message's `name` goes before its text as `Name: `. An AI message's does not:
      LangGraph always sets it, and the model would learn to begin its answers with it.
    - Of messages by other providers' models, reasoning is left out, and calls are taken from
      `tool_calls`. A call in `invalid_tool_calls` becomes a call whose argument
      `invalid_arguments` is the text that could not be parsed, so that the model sees what it
      wrote, and the error has a call to answer. A call without an id gets one.
    - An invalid call that has no result beside answered ones gets its error as one: LangGraph's
      `ToolNode` answers the valid calls alone.
    - Results are put into the order of their calls: some prompt formats do not write ids. The
      text of a failed one begins with `Error: ` unless it begins with that word anyway.

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
    turns: list[Turn] = []
    tracker = ToolCallTracker()
    answered = {message.tool_call_id for message in messages if isinstance(message, ToolMessage)}
    for index, message in enumerate(messages):
        for turn in (to_turn(index, message), *_results_of_invalid_calls(message, answered)):
            tracker.add(index, turn)
            if turns and _can_merge(turns[-1], turn):
                turns[-1] = turn.merged_after(turns[-1])
            else:
                turns.append(turn)
    tracker.check_complete()
    return _with_results_in_call_order(turns)


def to_turn(index: int, message: BaseMessage) -> Turn:
    """Return the message of a number as a turn; raise if it cannot be sent, by itself."""
    role = _role(index, message)
    where = f"messages[{index}] ({role})"
    has_tool_calls = False
    if isinstance(message.content, str):
        turn = Turn(role, message.content)
    else:
        parsed = parse_content(message.content, where=where, role=role)
        turn, has_tool_calls = Turn(role).with_content(parsed.content), parsed.has_tool_calls
    if role == "assistant":
        calls = _calls(index, message)
        has_calls = has_tool_calls or "function_call" in message.additional_kwargs
        if has_calls and not calls:
            raise VoxtralInvalidRequestError(
                f"{where} calls a tool in its content or additional_kwargs, and its tool_calls "
                "are empty: put the call there, as AIMessage(tool_calls=[...])."
            )
        return replace(turn, tool_calls=calls)
    if role == "tool":
        failed = getattr(message, "status", "success") == "error"
        text = _as_error(turn.text) if failed else turn.text
        return Turn(role, text, tool_call_id=getattr(message, "tool_call_id", None))
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
    valid = [(call, call["args"]) for call in getattr(message, "tool_calls", ())]
    invalid = [
        (call, {"invalid_arguments": call["args"] or ""})
        for call in getattr(message, "invalid_tool_calls", ())
    ]
    return tuple(
        ToolCall(call["id"] or f"call_{index}_{number}", call["name"] or "", arguments)
        for number, (call, arguments) in enumerate(valid + invalid)
    )


def _results_of_invalid_calls(message: BaseMessage, answered: Collection[str]) -> Iterator[Turn]:
    """Yield errors as results of invalid calls beside answered ones, as LangGraph does not."""
    valid, invalid = getattr(message, "tool_calls", ()), getattr(message, "invalid_tool_calls", ())
    if any(call["id"] in answered for call in valid):
        for call in invalid:
            if call["id"] and call["id"] not in answered:
                problem = call["error"] or "the arguments are no JSON object"
                yield Turn("tool", _as_error(problem), tool_call_id=call["id"])


def _as_error(text: str) -> str:
    return text if text.lower().startswith("error") else f"Error: {text}"


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


class ToolCallTracker:
    """Checks that every result answers a call, and that a turn's calls are answered all or none.

    Ids may be used again by a later turn, as some models do (`call_0` in each turn). Calls of
    which none is answered pass: the user went on without them.
    """

    def __init__(self) -> None:
        self._known: set[str] = set()
        self._answered: set[str] = set()
        self._caller = 0  # the index of the latest message with calls
        self._pending: dict[str, str] = {}  # its unanswered calls: names by id
        self._has_results = False  # whether one of its calls is answered since the last check

    def add(self, index: int, turn: Turn) -> None:
        """Take the turn of a message in; raise if it breaks the rules."""
        if turn.role == "tool":
            self._add_result(index, turn.tool_call_id)
            return
        self.check_complete()
        if turn.tool_calls:
            self._pending = {}
            for call in turn.tool_calls:
                if call.id in self._pending:
                    raise VoxtralInvalidRequestError(
                        f"messages[{index}] makes two calls with the id {call.id!r}: give each "
                        "call an id of its own."
                    )
                self._pending[call.id] = call.name
            self._caller = index
            self._known |= self._pending.keys()
            self._answered -= self._pending.keys()

    def check_complete(self) -> None:
        """Raise if some, but not all of the latest calls are answered."""
        if self._has_results and self._pending:
            call_id, name = next(iter(self._pending.items()))
            raise VoxtralInvalidRequestError(
                f"messages[{self._caller}] calls several tools, and only some of the calls are "
                f"answered: add a ToolMessage with tool_call_id={call_id!r} for {name!r}."
            )
        self._has_results = False

    def _add_result(self, index: int, call_id: str | None) -> None:
        where = f"messages[{index}] (tool)"
        if call_id is None or call_id not in self._known:
            raise VoxtralInvalidRequestError(
                f"{where} answers the call {call_id!r}, which no earlier message makes: put the "
                "AIMessage with that tool call before it, or leave the result out."
            )
        if call_id in self._answered:
            raise VoxtralInvalidRequestError(
                f"{where} answers the call {call_id!r}, which has a result already: keep one."
            )
        self._answered.add(call_id)
        self._has_results |= self._pending.pop(call_id, None) is not None
