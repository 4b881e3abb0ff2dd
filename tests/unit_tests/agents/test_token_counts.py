"""Agents whose conversations are summarised by exact counts of tokens."""

from collections.abc import Callable
from typing import Any

import pytest
from langchain_core.messages import AIMessage, AnyMessage, HumanMessage, SystemMessage, ToolMessage
from support.documented_exchanges import HELLO_TEXT, Server

from langchain_voxtral import ChatVoxtral

pytest.importorskip("langchain", reason="agents are of langchain, which the floor has not")
from langchain.agents import create_agent
from langchain.agents.middleware import (
    ClearToolUsesEdit,
    ContextEditingMiddleware,
    SummarizationMiddleware,
)

LIMIT = 32_768
TRIGGER = int(0.8 * LIMIT)
Make = Callable[..., ChatVoxtral]


def summarising(chat: ChatVoxtral) -> Any:
    middleware = SummarizationMiddleware(
        chat,
        trigger=("fraction", 0.8),
        keep=("fraction", 0.3),
        token_counter=chat.get_num_tokens_from_messages,
        trim_tokens_to_summarize=None,  # it would leave out a message of more than 4,000
    )
    return create_agent(chat, [], middleware=[middleware])


def conversation(chat: ChatVoxtral, tokens: int) -> list[AnyMessage]:
    """Return a conversation with as many tokens: one for each digit, and those around them."""
    messages: list[AnyMessage] = [HumanMessage(""), AIMessage("Yes."), HumanMessage("And then?")]
    rest = tokens - chat.get_num_tokens_from_messages([*messages])
    return [HumanMessage("1" * rest), *messages[1:]]


@pytest.mark.parametrize(("tokens", "requests"), [(TRIGGER - 1, 1), (TRIGGER, 2)])
async def test_a_conversation_is_summarised_from_a_fraction_of_the_context_on(
    make_chat: Make, server: Server, tokens: int, requests: int
) -> None:
    agent, chat = summarising(make_chat()), make_chat()
    state = {"messages": conversation(chat, tokens)}
    for invoked in (agent.invoke(state), await agent.ainvoke(state)):
        assert invoked["messages"][-1].text == HELLO_TEXT
        assert chat.get_num_tokens_from_messages(invoked["messages"]) <= TRIGGER + 50
    assert len(server.requests) == 2 * requests


def test_a_summary_that_cannot_fit_is_asked_for_in_short_without_being_sent_in_full(
    make_chat: Make, server: Server
) -> None:
    """What LangChain does when the context overflows."""
    chat = make_chat()
    agent = summarising(chat)
    state = agent.invoke({"messages": conversation(chat, 2 * LIMIT)})
    assert state["messages"][-1].text == HELLO_TEXT
    summary, answer = (body["input"] for body in server.bodies)
    assert 8_000 < chat.get_num_tokens(summary) < LIMIT / 2
    assert chat.get_num_tokens(answer) < 200


def measure(metres: int) -> str:
    """Measure a distance."""
    return str(metres)


@pytest.mark.parametrize("is_above", [False, True])
def test_results_of_tools_are_cleared_above_a_number_of_tokens(
    make_chat: Make, server: Server, *, is_above: bool
) -> None:
    """System prompt and tools are counted with the messages."""
    chat = make_chat()
    call = {"name": "measure", "args": {"metres": 5}, "id": "abcdef123"}
    history: list[AnyMessage] = [
        HumanMessage("How far is it?"),
        AIMessage("", tool_calls=[call]),
        ToolMessage("5" * 1_000, tool_call_id="abcdef123"),
    ]
    system = SystemMessage("Be brief.")
    tokens = chat.get_num_tokens_from_messages([system, *history], [measure])
    assert tokens > 1_000
    edit = ClearToolUsesEdit(trigger=tokens - is_above, keep=0)
    middleware: Any = ContextEditingMiddleware(edits=[edit], token_count_method="model")
    agent: Any = create_agent(chat, [measure], system_prompt=system, middleware=[middleware])
    agent.invoke({"messages": history})
    assert ("5" * 1_000 not in server.body["input"]) is is_above
