"""Results without a call, and calls without a result."""

import logging

from langchain_voxtral.messages.turns import ToolCall, Turn

logger = logging.getLogger("langchain_voxtral")

MISSING_RESULT = "Error: this call had no result at this point."


def as_error(result: Turn) -> Turn:
    """Return a failed result as one that says so."""
    is_said = result.text.lower().startswith("error")
    return result if is_said else result.with_content(["Error: ", *result.content])


def missing_result(call: ToolCall) -> Turn:
    """Return the result of a call that has none: its error, or that there is none, which is logged.

    LangGraph's `ToolNode` answers no calls that could not be parsed.
    """
    if call.error:
        return as_error(Turn("tool", call.error, tool_call_id=call.id))
    logger.warning(
        "The call of the tool %r (id %r) has no result, and is sent with one that says so: add a "
        "ToolMessage for it.",
        call.name,
        call.id,
    )
    return Turn("tool", MISSING_RESULT, tool_call_id=call.id)


def warn_same_id(index: int, call_id: str) -> None:
    """Log that calls of one message share an id."""
    logger.warning(
        "messages[%d] makes several calls with the id %r: their results are taken in the order of "
        "the calls.",
        index,
        call_id,
    )


def result_as_text(result: Turn, tool_name: str | None) -> Turn:
    """Return a result without a call as text of a user's turn, and log it."""
    tool = f"the tool {tool_name!r}" if tool_name else "a tool"
    call_id = result.tool_call_id
    call = f"an earlier call (id {call_id!r})" if call_id else "an earlier call"
    logger.warning(
        "The result of %s (tool_call_id=%r) does not follow a call that waits for it, and is sent "
        "as text of the user: keep the AIMessage with the call when messages are removed.",
        tool,
        call_id,
    )
    return Turn("user").with_content([f"Result of {tool} for {call}:\n", *result.content])
