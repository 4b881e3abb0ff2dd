"""`VoxtralLLM`: complete requests and responses."""

import json
from collections.abc import Callable
from typing import Any

import httpx
import pytest
from langchain_core.messages import AIMessage
from langchain_core.outputs import ChatGeneration
from support.call_modes import CALL_MODES, ask
from support.documented_exchanges import (
    AS_PRINTED,
    FINAL_EVENT,
    HELLO_ANSWER,
    HELLO_BODY,
    HELLO_INPUT,
    HELLO_TEXT,
    METADATA,
    TOKENS,
    URL,
    USAGE,
    Server,
    answering,
    streaming,
    token_event,
)

from langchain_voxtral import VoxtralLLM
from langchain_voxtral.errors import (
    VoxtralInvalidRequestError,
    VoxtralRateLimitError,
    VoxtralUnsupportedFeatureError,
)

TWICE = {"input_tokens": 24, "output_tokens": 50, "total_tokens": 74}
MakeLLM = Callable[..., VoxtralLLM]


@pytest.mark.parametrize("call_mode", CALL_MODES)
async def test_a_string_is_one_user_turn(make_llm: MakeLLM, server: Server, call_mode: str) -> None:
    await ask(make_llm(**AS_PRINTED), call_mode, "Hello!")
    streams = {"stream": True} if "stream" in call_mode else {}
    assert server.body == HELLO_BODY | streams
    assert str(server.request.url) == URL


@pytest.mark.parametrize(
    ("prompt_format", "body"),
    [
        ("llama3", {"input": HELLO_INPUT, "stop": ["<|eot_id|>"]}),
        ("mistral", {"input": "<s>[INST]Hello![/INST]", "stop": ["</s>", "[INST]"]}),
        ("raw", {"input": "Hello!"}),
    ],
)
def test_the_prompt_format_decides_what_is_sent(
    make_llm: MakeLLM, server: Server, prompt_format: str, body: dict[str, Any]
) -> None:
    make_llm(prompt_format=prompt_format).invoke("Hello!")
    assert server.body == body | {"temperature": 0.2, "top_p": 0.95}


def test_a_raw_prompt_is_sent_as_it_is_with_its_special_tokens(
    make_llm: MakeLLM, server: Server
) -> None:
    make_llm(prompt_format="raw", **AS_PRINTED).invoke(HELLO_INPUT, stop=["END"])
    assert server.body == {"input": HELLO_INPUT, "stop": ["END"]}


@pytest.mark.parametrize("call_mode", CALL_MODES)
async def test_an_answer_is_its_text(llm: VoxtralLLM, call_mode: str) -> None:
    assert await ask(llm, call_mode, "Hello!") == (
        "Hello! It's" if "stream" in call_mode else HELLO_TEXT
    )


@pytest.mark.parametrize("call_mode", ["stream", "astream"])
async def test_a_stream_yields_token_by_token(llm: VoxtralLLM, call_mode: str) -> None:
    if call_mode == "stream":
        pieces = list(llm.stream("Hello!"))
    else:
        pieces = [piece async for piece in llm.astream("Hello!")]
    assert pieces == [*TOKENS, ""]


@pytest.mark.parametrize("call_mode", ["generate", "agenerate"])
async def test_generations_carry_metadata_and_the_result_the_sums(
    llm: VoxtralLLM, server: Server, call_mode: str
) -> None:
    prompts = ["Hello!", "Hello?"]
    result = llm.generate(prompts) if call_mode == "generate" else await llm.agenerate(prompts)
    message = AIMessage(HELLO_TEXT, usage_metadata=USAGE, response_metadata=METADATA)
    generation = ChatGeneration(
        message=message, generation_info=METADATA | {"usage_metadata": USAGE}
    )
    assert result.generations == [[generation], [generation]]
    assert result.llm_output == {
        "model_name": METADATA["model_name"],
        "token_usage": TWICE,
        "cost": 2 * 0.0000436,
    }
    assert sorted(body["input"].split("\n\n")[1] for body in server.bodies) == [
        "Hello!<|eot_id|><|start_header_id|>assistant<|end_header_id|>",
        "Hello?<|eot_id|><|start_header_id|>assistant<|end_header_id|>",
    ]


@pytest.mark.parametrize("call_mode", ["batch", "abatch"])
async def test_a_batch_answers_in_the_order_of_its_prompts(
    llm: VoxtralLLM, server: Server, call_mode: str
) -> None:
    server.answer = echo
    prompts: list[Any] = [f"prompt {number}" for number in range(40)]
    answers = llm.batch(prompts) if call_mode == "batch" else await llm.abatch(prompts)
    assert answers == prompts


def echo(request: httpx.Request) -> httpx.Response:
    prompt = json.loads(request.content)["input"].split("\n\n")[1].partition("<|")[0]
    return answering(HELLO_ANSWER | {"results": [{"generated_text": prompt}]})


@pytest.mark.parametrize("call_mode", ["batch", "abatch"])
async def test_one_failure_fails_the_batch(
    make_llm: MakeLLM, server: Server, call_mode: str
) -> None:
    llm = make_llm(max_retries=0)
    server.answer = lambda request: (
        answering({"detail": "Rate limited"}, 429) if b"three" in request.content else echo(request)
    )
    prompts: list[Any] = ["one", "two", "three"]
    with pytest.raises(VoxtralRateLimitError):
        llm.batch(prompts) if call_mode == "batch" else await llm.abatch(prompts)


@pytest.mark.parametrize("call_mode", CALL_MODES)
async def test_a_response_format_that_the_server_refuses_is_an_error(
    make_llm: MakeLLM, server: Server, call_mode: str
) -> None:
    """A string could not show that nothing constrained it."""
    server.answer = lambda _: answering({"error": "response_format is not supported"}, 405)
    with pytest.raises(VoxtralUnsupportedFeatureError):
        await ask(make_llm(response_format={"type": "json_object"}), call_mode, "Hello!")
    assert len(server.requests) == 1


def test_n_gives_several_texts_for_each_prompt(llm: VoxtralLLM, server: Server) -> None:
    result = llm.generate(["Hello!", "Hello?"], n=2)
    assert [body["num_responses"] for body in server.bodies] == [2, 2]
    assert [[one.text for one in answer] for answer in result.generations] == [
        [HELLO_TEXT, "Answer 2"],
        [HELLO_TEXT, "Answer 2"],
    ]
    assert result.llm_output is not None
    assert result.llm_output["token_usage"] == TWICE


def test_n_cannot_be_streamed(llm: VoxtralLLM) -> None:
    with pytest.raises(VoxtralInvalidRequestError, match="n=2 cannot be streamed"):
        list(llm.stream("Hello!", n=2))


@pytest.mark.parametrize("call_mode", CALL_MODES)
@pytest.mark.parametrize("prompt_format", ["llama3", "raw"])
async def test_stop_sequences_apply_even_if_the_server_ignores_them(
    make_llm: MakeLLM, server: Server, call_mode: str, prompt_format: str
) -> None:
    pieces = ("one", " two", " ST", "OP", " three")
    if "stream" in call_mode:
        events = [token_event(piece) for piece in pieces]
        server.answer = lambda _: streaming(*events, FINAL_EVENT)
    else:
        whole = [{"generated_text": "".join(pieces)}]
        server.answer = lambda _: answering(HELLO_ANSWER | {"results": whole})
    llm = make_llm(prompt_format=prompt_format)
    assert await ask(llm, call_mode, "Hello!", stop=["STOP"]) == "one two "


def test_logprobs_are_in_the_generation_info(llm: VoxtralLLM, server: Server) -> None:
    event = token_event("Hey", token_id=7, logprob=-0.5)
    server.answer = lambda _: streaming(event, FINAL_EVENT)
    (((generation,),)) = llm.generate(["Hello!"], logprobs=True).generations
    assert generation.text == "Hey"
    assert generation.generation_info is not None
    assert generation.generation_info["logprobs"] == {
        "content": [{"token": "Hey", "id": 7, "logprob": -0.5}]
    }
