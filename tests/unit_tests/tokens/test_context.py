"""A prompt that the model's context cannot hold is refused before it is sent."""

import asyncio
import threading
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from langchain_core.exceptions import ContextOverflowError
from langchain_core.messages import AIMessage, HumanMessage
from support.call_modes import CALL_MODES, ask
from support.conversations import conversations, texts
from support.documented_exchanges import MODEL, Server
from support.speech_samples import silence, wav_bytes
from support.template_goldens import WEATHER

from langchain_voxtral import ChatVoxtral, VoxtralLLM, audio_block
from langchain_voxtral.errors import VoxtralContextOverflowError
from langchain_voxtral.messages import Turn
from langchain_voxtral.prompts import LLAMA3, MISTRAL, render
from langchain_voxtral.tokens import vocabulary
from langchain_voxtral.tokens.context import check_conversation, check_prompt, count_messages

Make = Callable[..., ChatVoxtral | VoxtralLLM]

LIMIT = 32_768
LONG = "1" * (LIMIT - 3)  # a token for each digit, and three around them


def problem(tokens: int, limit: int = LIMIT, model: str = MODEL) -> str:
    return (
        f"The prompt has {tokens} tokens, and the context of model={model!r} holds {limit}: send "
        "less, for example what trim_messages(messages, max_tokens=..., token_counter=chat) keeps. "
        "If the server's context is larger, pass check_context=False, or its profile= to a chat "
        "model."
    )


@pytest.mark.parametrize("call_mode", CALL_MODES)
async def test_a_prompt_that_cannot_fit_is_refused_before_it_is_sent(
    make: Make, server: Server, call_mode: str
) -> None:
    with pytest.raises(VoxtralContextOverflowError) as raised:
        await ask(make(), call_mode, LONG + "1")
    assert isinstance(raised.value, ContextOverflowError)  # what LangChain's middleware catches
    assert raised.value.message == problem(LIMIT + 1)
    assert (raised.value.attempts, server.requests) == (0, [])


@pytest.mark.parametrize("call_mode", CALL_MODES)
async def test_a_prompt_that_just_fits_is_sent(make: Make, server: Server, call_mode: str) -> None:
    await ask(make(), call_mode, LONG)
    assert LONG in server.body["input"]


def test_a_raw_prompt_has_the_tokens_of_its_text_alone(
    make_llm: Callable[..., VoxtralLLM], server: Server
) -> None:
    llm = make_llm(prompt_format="raw")
    llm.invoke(LONG + "111")
    with pytest.raises(VoxtralContextOverflowError) as raised:
        llm.invoke(LONG + "1111")
    assert raised.value.message == problem(LIMIT + 1)
    assert len(server.requests) == 1


@pytest.mark.parametrize("special", ["[INST]", "<|eot_id|>", "</s>"])
def test_a_special_token_of_a_raw_prompt_is_one_token(
    make_llm: Callable[..., VoxtralLLM], server: Server, special: str
) -> None:
    """A server that reads it so can take the prompt."""
    llm = make_llm(prompt_format="raw")
    llm.invoke(special * LIMIT)
    with pytest.raises(VoxtralContextOverflowError) as raised:
        llm.invoke(special * LIMIT + "1")
    assert raised.value.message == problem(LIMIT + 1)
    assert len(server.requests) == 1


@pytest.mark.parametrize(
    "unchecked",
    [
        {"check_context": False},
        {"model": "another/model"},
        {"custom_get_token_ids": lambda _: [0]},
    ],
    ids=["switched off", "no profile", "another vocabulary"],
)
def test_without_a_limit_any_prompt_is_sent(
    make: Make, server: Server, unchecked: dict[str, Any]
) -> None:
    make(**unchecked).invoke(LONG + "1")
    assert len(server.requests) == 1


@pytest.mark.usefixtures("no_tokens_extra")
def test_without_the_extra_any_prompt_is_sent(make: Make, server: Server) -> None:
    make().invoke(LONG + "1")
    assert len(server.requests) == 1


def test_the_model_and_the_profile_of_a_call_decide(
    make_chat: Callable[..., ChatVoxtral], server: Server
) -> None:
    chat = make_chat(profile={"max_input_tokens": 4})
    with pytest.raises(VoxtralContextOverflowError) as raised:
        chat.invoke("Hello!")
    assert raised.value.message == problem(5, 4)
    chat.invoke("Hello!", model="another/model")
    small = "mistralai/voxtral-small-24b-2507"
    with pytest.raises(VoxtralContextOverflowError) as raised:
        chat.invoke(LONG, model=small)
    assert raised.value.message == problem(LIMIT, 32_000, small)
    assert len(server.requests) == 1


def test_the_embedded_engine_checks_by_its_own_tokens(make: Make) -> None:
    model = make(base_url="local")
    assert model._context_check([Turn("user", LONG + "1")], model.model) is None


def test_tools_and_calls_count(make_chat: Callable[..., ChatVoxtral], server: Server) -> None:
    chat, asked = make_chat(profile={"max_input_tokens": 100}), HumanMessage("q")
    call = AIMessage("", tool_calls=[{"name": "f", "args": {"x": "1" * 100}, "id": "abcdef123"}])
    with pytest.raises(VoxtralContextOverflowError) as raised:
        chat.invoke([asked, call])
    tokens = chat.get_num_tokens_from_messages([asked, call])
    assert raised.value.message == problem(tokens, 100)
    tool = {"name": "f", "description": "1" * 100}
    with pytest.raises(VoxtralContextOverflowError) as raised:
        chat.bind_tools([tool]).invoke([asked])
    tokens = chat.get_num_tokens_from_messages([asked], [tool])
    assert raised.value.message == problem(tokens, 100)
    chat.bind_tools([tool], tool_choice="none").invoke([asked])  # the prompt does not show it
    assert len(server.requests) == 1


def test_escapes_in_the_json_of_a_call_count(
    make_chat: Callable[..., ChatVoxtral], server: Server
) -> None:
    """A character of one byte may be written as six, each a token."""
    chat, asked = make_chat(profile={"max_input_tokens": 200}), HumanMessage("q")
    call = AIMessage("", tool_calls=[{"name": "f", "args": {"x": "\x01" * 50}, "id": "abcdef123"}])
    with pytest.raises(VoxtralContextOverflowError) as raised:
        chat.invoke([asked, call])
    tokens = chat.get_num_tokens_from_messages([asked, call])
    assert raised.value.message == problem(tokens, 200)
    assert server.requests == []


def test_system_text_among_messages_counts_as_the_users() -> None:
    """As templates take it that have no place for it there."""
    turns = [Turn("user", "Q1"), Turn("system", "Q2"), Turn("assistant"), Turn("user", "Q1")]
    tokens = count_messages([Turn("user", "Q1\n\nQ2\n\nQ1")])
    check_conversation(turns, [], limit=tokens, model=MODEL)
    with pytest.raises(VoxtralContextOverflowError):
        check_conversation(turns, [], limit=tokens - 1, model=MODEL)


@pytest.mark.parametrize("call_mode", CALL_MODES)
async def test_recordings_count(
    make_chat: Callable[..., ChatVoxtral], server: Server, call_mode: str
) -> None:
    second = audio_block(wav_bytes(silence(1)))
    with pytest.raises(VoxtralContextOverflowError) as raised:
        await ask(make_chat(), call_mode, [HumanMessage([second] * 88)])
    assert raised.value.message == problem(3 + 88 * 376)
    assert server.requests == []


def test_what_is_short_in_bytes_loads_no_vocabulary(make: Make, server: Server) -> None:
    vocabulary._load.cache_clear()
    vocabulary._counts.clear()
    for prompt in ("Hello!", "é" * (LIMIT // 2 - 3)):
        make().invoke(prompt)
    assert vocabulary._load.cache_info().currsize == 0
    assert make(prompt_format="mistral").invoke("é" * (LIMIT // 2)) is not None
    assert vocabulary._load.cache_info().currsize == 1
    assert len(server.requests) == 3


def test_white_space_that_cannot_be_encoded_is_the_servers_affair(
    make: Make, server: Server
) -> None:
    make().invoke("x" + " " * 1_000_000)
    assert len(server.requests) == 1


async def test_loading_the_vocabulary_does_not_block_the_event_loop(make: Make) -> None:
    """Shown by a load that lasts until the loop has had its turn."""
    vocabulary._counts.clear()
    had_its_turn, is_loading = threading.Event(), threading.Event()
    in_time: list[bool] = []

    def hold() -> None:
        with vocabulary._loading:
            is_loading.set()
            in_time.append(had_its_turn.wait(20))

    holder = threading.Thread(target=hold)
    holder.start()
    is_loading.wait()
    call = asyncio.ensure_future(make().ainvoke(LONG + "1"))
    for _ in range(100):
        await asyncio.sleep(0)
    had_its_turn.set()
    with pytest.raises(VoxtralContextOverflowError):
        await call
    holder.join()
    assert in_time == [True]


limits = st.integers(1, 400)
tools = st.sampled_from([[], [WEATHER]])
quick = settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])


def is_refused(check: Callable[..., None], *prompt: Any, limit: int) -> bool:
    try:
        check(*prompt, limit=limit, model=MODEL)
    except VoxtralContextOverflowError:
        return True
    return False


@quick
@given(turns=conversations(texts=texts), tools=tools, limit=limits)
def test_no_conversation_is_refused_that_fits(
    turns: list[Turn], tools: list[dict[str, Any]], limit: int
) -> None:
    tokens = count_messages(turns, tools)
    if is_refused(check_conversation, turns, tools, limit=limit):
        assert tokens > limit
    chat = ChatVoxtral(profile={"max_input_tokens": limit})
    if chat._context_check(turns, chat.model, tools) is None:
        assert tokens <= limit


@quick
@given(turns=conversations(texts=texts), fmt=st.sampled_from([LLAMA3, MISTRAL]), limit=limits)
def test_no_raw_prompt_is_refused_whose_text_fits(turns: list[Turn], fmt: Any, limit: int) -> None:
    prompt = render(turns, fmt)
    if is_refused(check_prompt, prompt, limit=limit):
        assert vocabulary.count(prompt) > limit
