"""The usage handler: calls that are repeated, resumed, fail or end early."""

import asyncio
import gc
from collections.abc import Callable
from typing import Any

import httpx
import pytest
from langchain_core.output_parsers import StrOutputParser
from langchain_core.outputs import LLMResult
from support.call_modes import CALL_MODES, ask
from support.documented_exchanges import (
    FINAL_EVENT,
    STREAM,
    TOKENS,
    Server,
    answering,
    as_documented,
    streaming,
    token_event,
)
from support.priced_answers import STREAMED, UNKNOWN, used
from support.run_log import RunLog

from langchain_voxtral import (
    ChatVoxtral,
    VoxtralLLM,
    get_voxtral_usage_callback,
)
from langchain_voxtral.completions.events import ARE_EVENTS_SUPPORTED
from langchain_voxtral.errors import (
    VoxtralAPIError,
    VoxtralIncompleteStreamError,
    VoxtralInvalidRequestError,
    VoxtralTimeoutError,
)
from langchain_voxtral.usage.sums import VoxtralUsage

Make = Callable[..., ChatVoxtral | VoxtralLLM]


def failing_first(times: int, response: Callable[[], httpx.Response]) -> Any:
    left = iter(range(times))

    def answer(request: httpx.Request) -> httpx.Response:
        return as_documented(request) if next(left, None) is None else response()

    return answer


def busy() -> httpx.Response:
    return answering({"detail": "busy"}, 503, {"retry-after": "0"})


@pytest.mark.parametrize("call_mode", CALL_MODES)
async def test_retries_are_counted_beside_their_request(
    make: Make, server: Server, call_mode: str
) -> None:
    server.answer = failing_first(2, busy)
    with get_voxtral_usage_callback() as usage:
        await ask(make(max_retries=2), call_mode, "Hello!")
    assert usage.total == used(call_mode) + VoxtralUsage(retries=2)


@pytest.mark.parametrize("call_mode", CALL_MODES)
async def test_a_request_that_fails_for_good_is_counted_with_its_retries(
    make: Make, server: Server, call_mode: str
) -> None:
    server.answer = lambda _: busy()
    with get_voxtral_usage_callback() as usage, pytest.raises(VoxtralAPIError):
        await ask(make(max_retries=2), call_mode, "Hello!")
    assert usage.total == VoxtralUsage(requests=1, failed_requests=1, retries=2)
    assert str(usage) == "1 request (1 failed, 2 retries), $0.00"


@pytest.mark.parametrize("call_mode", CALL_MODES)
async def test_a_call_that_was_never_sent_is_no_request(make: Make, call_mode: str) -> None:
    with get_voxtral_usage_callback() as usage, pytest.raises(VoxtralInvalidRequestError):
        await ask(make(special_tokens="error"), call_mode, "<|eot_id|>")
    assert usage.total == VoxtralUsage()


@pytest.mark.parametrize("call_mode", ["stream", "astream"])
async def test_the_tokens_of_a_stream_that_broke_off_are_counted_and_its_cost_is_not_known(
    make: Make, server: Server, call_mode: str
) -> None:
    server.answer = lambda _: streaming(*STREAM[:-1])
    with get_voxtral_usage_callback() as usage, pytest.raises(VoxtralIncompleteStreamError):
        await ask(make(), call_mode, "Hello!")
    assert usage.total == UNKNOWN + VoxtralUsage(failed_requests=1, output_tokens=len(TOKENS))


@pytest.mark.parametrize("call_mode", ["stream", "astream"])
async def test_the_cost_of_a_resumed_stream_is_known_in_part(
    make: Make, server: Server, call_mode: str
) -> None:
    legs = iter([STREAM[:2], [token_event(" It"), token_event("'s"), FINAL_EVENT]])
    server.answer = lambda _: streaming(*next(legs))
    with get_voxtral_usage_callback() as usage:
        await ask(make(max_stream_resumes=1), call_mode, "Hello!")
    assert usage.total == VoxtralUsage(
        requests=1,
        resumes=1,
        input_tokens=12,
        output_tokens=2 + 25,
        cost_usd=0.0000386,
        requests_without_usage=1,
        requests_without_cost=1,
    )


def test_usage_and_cost_of_a_stream_that_the_caller_closes_are_not_known(make: Make) -> None:
    with get_voxtral_usage_callback() as usage:
        stream: Any = make().stream("Hello!")
        next(stream)
        stream.close()
    assert usage.total == UNKNOWN


@pytest.mark.filterwarnings("ignore:.* is in beta")
@pytest.mark.skipif(not ARE_EVENTS_SUPPORTED, reason="LangChain makes these events of chunks")
@pytest.mark.parametrize("events", [0, 1, 3])
def test_the_run_of_events_that_the_caller_leaves_ends_with_them(
    chat: ChatVoxtral, events: int
) -> None:
    """LangChain tells nobody: its stream of events does not end when the caller leaves it."""
    log = RunLog()
    with get_voxtral_usage_callback() as usage:
        stream = iter(chat.stream_events("Hello!", version="v3", config={"callbacks": [log]}))
        for _ in range(events):
            next(stream)
        del stream
        gc.collect()
    assert usage.total == (UNKNOWN if events else VoxtralUsage())
    assert [type(run.error) for run in log.runs.values()] == [GeneratorExit] * bool(events)


@pytest.mark.filterwarnings("ignore:.* is in beta")
def test_the_run_of_events_that_were_read_ends_once(chat: ChatVoxtral) -> None:
    log = RunLog()
    with get_voxtral_usage_callback() as usage:
        list(chat.stream_events("Hello!", version="v3", config={"callbacks": [log]}))
        gc.collect()
    assert usage.total == STREAMED
    assert [type(run.result) for run in log.runs.values()] == [LLMResult]


def test_cost_of_a_request_that_timed_out_is_not_known(make: Make, server: Server) -> None:
    def answer(request: httpx.Request) -> httpx.Response:
        raise httpx.ReadTimeout("", request=request)

    server.answer = answer
    with get_voxtral_usage_callback() as usage, pytest.raises(VoxtralTimeoutError):
        make(max_retries=0).invoke("Hello!")
    assert usage.total == UNKNOWN + VoxtralUsage(failed_requests=1)


async def test_usage_and_cost_of_a_cancelled_call_are_not_known(make: Make) -> None:
    is_sent = asyncio.Event()

    async def answer(request: httpx.Request) -> httpx.Response:
        is_sent.set()
        await asyncio.Event().wait()
        raise AssertionError

    client = httpx.AsyncClient(transport=httpx.MockTransport(answer))
    with get_voxtral_usage_callback() as usage:
        task = asyncio.create_task(make(http_async_client=client).ainvoke("Hello!"))
        await is_sent.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
    assert usage.total == UNKNOWN


@pytest.mark.parametrize("call_mode", ["generate", "agenerate"])
async def test_of_prompts_that_are_told_the_error_of_one_usage_and_cost_are_not_known(
    llm: VoxtralLLM, server: Server, call_mode: str
) -> None:
    def answer(request: httpx.Request) -> httpx.Response:
        return (
            answering({"detail": "no"}, 400)
            if b"bad" in request.content
            else as_documented(request)
        )

    server.answer = answer

    async def generate() -> None:
        result = getattr(llm, call_mode)(["Hello!", "bad"])
        await result if call_mode == "agenerate" else None

    with get_voxtral_usage_callback() as usage, pytest.raises(VoxtralInvalidRequestError):
        await generate()
    assert usage.total == UNKNOWN + UNKNOWN + VoxtralUsage(failed_requests=2)


def test_a_block_counts_in_chains_parallel_branches_and_fallbacks(
    make_chat: Callable[..., ChatVoxtral], server: Server
) -> None:
    chat = make_chat(max_retries=0)
    server.answer = failing_first(1, busy)
    chain: Any = chat.with_fallbacks([chat]) | StrOutputParser() | {"one": chat, "two": chat}
    with get_voxtral_usage_callback() as usage:
        chain.invoke("Hello!")
    assert usage.total.requests == 4
    assert usage.total.failed_requests == 1
