"""Agents with LangChain's middleware for model calls: retries, fallbacks, summaries."""

from collections.abc import Callable
from typing import Any

import pytest
from langchain_core.exceptions import ContextOverflowError
from langchain_core.messages import AIMessage, HumanMessage
from support.scripted_server import Reply, ScriptedServer
from support.sse_replies import event, events, json_reply, streamed, token, whole
from support.tool_dialects import CHAT, DIALECTS, LLAMA3, Dialect, ScriptedCall

from langchain_voxtral import ChatVoxtral
from langchain_voxtral.errors import (
    VoxtralAuthenticationError,
    VoxtralContextOverflowError,
    VoxtralError,
    VoxtralInvalidRequestError,
    VoxtralRateLimitError,
)

pytest.importorskip("langchain", reason="agents are of langchain, which the floor has not")
from langchain.agents import create_agent
from langchain.agents.middleware import (
    ModelFallbackMiddleware,
    ModelRetryMiddleware,
    SummarizationMiddleware,
)

FINE = whole("Hello!")
BUSY = json_reply({"detail": "Rate limited"}, status=429)
DOWN = json_reply({"detail": "inference error"}, status=503)
NO_KEY = json_reply({"detail": "User is not authorized to access this resource"}, status=401)
REFUSED = json_reply({"error": {"message": "temperature must be below 2"}}, status=400)
TOO_LONG = json_reply(
    {"error": {"message": "Requested input length 40000 exceeds maximum input length 32768"}},
    status=400,
)
QUESTION: Any = {"messages": [HumanMessage("Hello!")]}

Ask = Callable[..., Any]


@pytest.fixture(params=["invoke", "ainvoke"])
def ask(request: pytest.FixtureRequest) -> Ask:
    """Call an agent or a model, sync or async, and return the text of the answer."""

    async def ask(agent: Any, question: Any = QUESTION) -> str:
        if request.param == "invoke":
            answer = agent.invoke(question)
        else:
            answer = await agent.ainvoke(question)
        message: AIMessage = answer if isinstance(answer, AIMessage) else answer["messages"][-1]
        return message.text

    return ask


def model(server: ScriptedServer, **fields: Any) -> ChatVoxtral:
    """Return a model without retries of its own, because layers multiply them."""
    return ChatVoxtral(base_url=server.url, max_retries=0, **fields)


def retrying(server: ScriptedServer, **fields: Any) -> Any:
    again = ModelRetryMiddleware(max_retries=2, initial_delay=0, jitter=False, on_failure="error")
    return create_agent(model(server, **fields), tools=[], middleware=[again])


# Agents


async def test_an_agent_without_tools_answers(ask: Ask) -> None:
    with ScriptedServer(FINE) as server:
        agent = create_agent(model(server), tools=[], system_prompt="Be brief.")
        assert await ask(agent) == "Hello!"
    assert server.requests[0].body["input"] == (
        "<|begin_of_text|><|start_header_id|>system<|end_header_id|>\n\nBe brief.<|eot_id|>"
        "<|start_header_id|>user<|end_header_id|>\n\nHello!<|eot_id|>"
        "<|start_header_id|>assistant<|end_header_id|>\n\n"
    )


def test_an_agent_streams_the_tokens_of_its_model() -> None:
    with ScriptedServer(streamed("Hel", "lo", "!")) as server:
        agent: Any = create_agent(model(server, chunk_coalescing=False), tools=[])
        texts = [chunk.text for chunk, _ in agent.stream(QUESTION, stream_mode="messages")]
    assert "".join(texts) == "Hello!"
    assert len(texts) >= 3


async def test_an_agent_streams_the_tokens_of_its_model_in_a_loop() -> None:
    with ScriptedServer(streamed("Hel", "lo", "!")) as server:
        agent: Any = create_agent(model(server, chunk_coalescing=False), tools=[])
        texts = [chunk.text async for chunk, _ in agent.astream(QUESTION, stream_mode="messages")]
    assert "".join(texts) == "Hello!"
    assert len(texts) >= 3


@pytest.mark.parametrize("dialect", DIALECTS, ids=lambda dialect: dialect.name)
async def test_an_agent_with_tools_calls_them(dialect: Dialect, ask: Ask) -> None:
    def add(a: int, b: int) -> int:
        """Add two numbers."""
        return a + b

    calls = [ScriptedCall("add", '{"a": 2, "b": 3}')]
    with ScriptedServer(dialect.whole(calls=calls), dialect.whole("It is 5.")) as server:
        assert await ask(create_agent(dialect.chat(server), tools=[add])) == "It is 5."
    assert len(server.requests) == 2


# Retries


@pytest.mark.parametrize("failure", [BUSY, DOWN], ids=["429", "503"])
async def test_a_transient_failure_is_retried_by_the_middleware(failure: Reply, ask: Ask) -> None:
    with ScriptedServer(failure, failure, FINE) as server:
        assert await ask(retrying(server)) == "Hello!"
    assert len(server.requests) == 3


@pytest.mark.parametrize(
    ("failure", "kind"),
    [
        (NO_KEY, VoxtralAuthenticationError),
        (REFUSED, VoxtralInvalidRequestError),
        (TOO_LONG, VoxtralContextOverflowError),
    ],
    ids=["401", "400", "too long"],
)
async def test_a_permanent_failure_is_not_retried_by_the_middleware(
    failure: Reply, kind: type[VoxtralError], ask: Ask
) -> None:
    with ScriptedServer(failure) as server:
        with pytest.raises(kind) as caught:
            await ask(retrying(server))
        assert type(caught.value) is kind
    assert len(server.requests) == 1


async def test_the_last_failure_is_raised_when_the_middleware_gives_up(ask: Ask) -> None:
    with ScriptedServer(default=BUSY) as server, pytest.raises(VoxtralRateLimitError):
        await ask(retrying(server))
    assert len(server.requests) == 3


async def test_a_failure_within_a_stream_is_retried_by_the_middleware(ask: Ask) -> None:
    broken = events(token("Hel"), event({"error": {"message": "CUDA OOM"}}))
    with ScriptedServer(broken, streamed("Hello!")) as server:
        assert await ask(retrying(server, streaming=True)) == "Hello!"
    assert len(server.requests) == 2


async def test_with_retry_takes_the_classes_of_errors(ask: Ask) -> None:
    with ScriptedServer(BUSY, FINE, NO_KEY) as server:
        again = model(server).with_retry(
            retry_if_exception_type=(VoxtralRateLimitError,), wait_exponential_jitter=False
        )
        assert await ask(again, "Hello!") == "Hello!"
        with pytest.raises(VoxtralAuthenticationError):
            await ask(again, "Hello!")
    assert len(server.requests) == 3


# Fallbacks


async def test_another_model_takes_over(ask: Ask) -> None:
    with ScriptedServer(DOWN) as first, ScriptedServer(FINE) as second:
        either = model(first).with_fallbacks([model(second)])
        assert await ask(either, "Hello!") == "Hello!"
    assert (len(first.requests), len(second.requests)) == (1, 1)


async def test_another_model_takes_over_in_an_agent(ask: Ask) -> None:
    with ScriptedServer(DOWN) as first, ScriptedServer(FINE) as second:
        other = ModelFallbackMiddleware(model(second, temperature=0.9))
        agent = create_agent(model(first), tools=[], middleware=[other])
        assert await ask(agent) == "Hello!"
    assert [seen.body["temperature"] for seen in first.requests + second.requests] == [0.2, 0.9]


async def test_another_model_continues_from_the_calls_of_the_first(ask: Ask) -> None:
    """The other model may use another dialect: calls and results are in the messages."""

    def add(a: int, b: int) -> int:
        """Add two numbers."""
        return a + b

    call = LLAMA3.whole(calls=[ScriptedCall("add", '{"a": 2, "b": 3}')])
    with ScriptedServer(call, DOWN) as first, ScriptedServer(CHAT.whole("It is 5.")) as second:
        other = ModelFallbackMiddleware(CHAT.chat(second, max_retries=0))
        agent = create_agent(model(first), tools=[add], middleware=[other])
        assert await ask(agent) == "It is 5."
    _, calling, texts = CHAT.conversation(second.requests[0].body)
    assert calling["tool_calls"][0]["function"] == {"name": "add", "arguments": '{"a": 2, "b": 3}'}
    assert (texts["role"], texts["content"]) == ("tool", "5")


async def test_the_first_error_is_raised_when_no_model_answers(ask: Ask) -> None:
    with ScriptedServer(NO_KEY) as first, ScriptedServer(BUSY) as second:
        either = model(first).with_fallbacks([model(second)])
        with pytest.raises(VoxtralAuthenticationError):
            await ask(either, "Hello!")
    assert (len(first.requests), len(second.requests)) == (1, 1)


# Prompts that are too long


async def test_a_prompt_that_is_too_long_is_langchains_overflow(ask: Ask) -> None:
    with ScriptedServer(TOO_LONG) as server, pytest.raises(ContextOverflowError) as caught:
        await ask(model(server), "Hello!")
    assert type(caught.value) is VoxtralContextOverflowError


async def test_a_summary_that_overflows_is_requested_again_with_less(ask: Ask) -> None:
    history: list[Any] = []
    for _ in range(3):
        history += [HumanMessage("What is this? " * 50), AIMessage("It is long. " * 50)]
    with ScriptedServer(TOO_LONG, whole("They spoke."), FINE) as server:
        shorten = SummarizationMiddleware(
            model(server), trigger=("messages", 4), keep=("messages", 1)
        )
        agent = create_agent(model(server), tools=[], middleware=[shorten])
        assert await ask(agent, {"messages": [*history, HumanMessage("Hello!")]}) == "Hello!"
    first, again, last = [seen.body["input"] for seen in server.requests]
    assert len(again) < len(first)
    assert "They spoke." in last
    assert "It is long." not in last
