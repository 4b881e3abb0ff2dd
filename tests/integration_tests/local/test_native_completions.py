"""Completions of the embedded engine's native endpoint."""

import json
from typing import Any

import httpx
import psutil
import pytest

from langchain_voxtral.local import LocalVoxtral

INFER = "inference/mistralai/Voxtral-Mini-3B-2507"
HELLO = (
    "<|begin_of_text|><|start_header_id|>user<|end_header_id|>\n\nHello!<|eot_id|>"
    "<|start_header_id|>assistant<|end_header_id|>\n\n"
)
RAW = "The capital of France is"
FRANCE = HELLO.replace("Hello!", "What is the capital of France?")


def ask(http: httpx.Client, prompt: str = HELLO, **fields: object) -> dict[str, Any]:
    answer = http.post(INFER, json={"input": prompt, "temperature": 0, **fields})
    assert answer.status_code == 200, answer.text
    body: dict[str, Any] = answer.json()
    return body


def text(http: httpx.Client, prompt: str = HELLO, **fields: object) -> str:
    answer: str = ask(http, prompt, **fields)["results"][0]["generated_text"]
    return answer


def events(http: httpx.Client, prompt: str = HELLO, **fields: object) -> list[dict[str, Any]]:
    body = {"input": prompt, "temperature": 0, "stream": True, **fields}
    with http.stream("POST", INFER, json=body) as answer:
        assert answer.headers["content-type"] == "text/event-stream"
        sent = answer.read().decode()
    *blocks, rest = sent.split("\n\n")
    assert rest == ""
    return [json.loads(block.removeprefix("data: ")) for block in blocks]


def test_the_documented_request_gets_the_documented_answer(http: httpx.Client) -> None:
    answer = http.post(
        INFER, json={"input": HELLO, "stop": [], "max_new_tokens": 5, "temperature": 0}
    )
    body = answer.json()
    status = body["inference_status"]
    assert body == {
        "request_id": answer.headers["x-request-id"],
        "inference_status": {
            "status": "succeeded",
            "runtime_ms": status["runtime_ms"],
            "cost": 0.0,
            "tokens_input": body["num_input_tokens"],
            "tokens_generated": 5,
        },
        "results": [{"generated_text": body["results"][0]["generated_text"]}],
        "num_tokens": 5,
        "num_input_tokens": body["num_input_tokens"],
    }
    assert status["runtime_ms"] > 0
    assert body["results"][0]["generated_text"]
    assert answer.headers["x-voxtral-model"] == "SmolLM2-135M-Instruct"
    assert answer.headers["content-type"] == "application/json"


def test_earlier_prompts_take_no_memory(http: httpx.Client) -> None:
    first, *others = [f"{number} " * 100 for number in range(111, 555, 111)]
    ask(http, first, max_new_tokens=1)
    before = psutil.Process().memory_info().rss
    for prompt in others:
        ask(http, prompt, max_new_tokens=1)
    # Each was kept in 9 MB once.
    assert psutil.Process().memory_info().rss - before < 10 * 2**20


def test_the_model_knows_the_capital_of_france(http: httpx.Client) -> None:
    assert "Paris" in text(http, FRANCE)


def test_a_stream_has_the_documented_events(http: httpx.Client) -> None:
    *tokens, final = events(http, max_new_tokens=4)
    assert [set(event) for event in tokens] == [
        {"token", "generated_text", "details", "estimated_cost"}
    ] * 4
    for event in tokens:
        token = event["token"]
        assert event == {
            "token": {
                "id": token["id"],
                "text": token["text"],
                "logprob": token["logprob"],
                "special": False,
            },
            "generated_text": "",
            "details": None,
            "estimated_cost": None,
        }
        assert isinstance(token["id"], int)
        assert token["logprob"] < 0
    assert final == {
        "token": {"id": None, "text": "", "logprob": 0.0, "special": False},
        "generated_text": None,
        "details": {"finish_reason": "length"},
        "num_output_tokens": 4,
        "num_input_tokens": ask(http, max_new_tokens=1)["num_input_tokens"],
        "estimated_cost": 0.0,
        "request_id": final["request_id"],
    }


def test_a_stream_adds_up_to_the_answer(http: httpx.Client) -> None:
    *tokens, final = events(http, FRANCE, seed=3)
    whole = ask(http, FRANCE, seed=3)
    assert (
        "".join(event["token"]["text"] for event in tokens)
        == (whole["results"][0]["generated_text"])
    )
    assert final["details"] == {"finish_reason": "stop"}
    assert final["num_output_tokens"] == whole["num_tokens"]


def test_a_stop_sequence_is_left_out_even_across_tokens(http: httpx.Client) -> None:
    whole = text(http, FRANCE)
    start = whole.index("France is")
    *tokens, final = events(http, FRANCE, stop=["nope", "ance is"])
    assert "".join(event["token"]["text"] for event in tokens) == whole[: start + 2]
    assert final["details"] == {"finish_reason": "stop"}


def test_a_seed_makes_sampling_repeatable(http: httpx.Client) -> None:
    once, again, other = (
        text(http, RAW, temperature=1.5, seed=seed, max_new_tokens=12) for seed in (7, 7, 8)
    )
    assert once == again != other


def test_with_a_seed_even_the_probabilities_are_the_same(http: httpx.Client) -> None:
    """llama.cpp evaluates a cached prompt in other batches, so the last bits differ."""
    once, again = (
        [event["token"]["logprob"] for event in events(http, FRANCE, seed=7)] for _ in range(2)
    )
    assert once == again


def test_seeds_in_the_documented_range_are_accepted(http: httpx.Client) -> None:
    for seed in (-(2**63), 2**64 - 1):
        assert ask(http, RAW, seed=seed, max_new_tokens=1)["num_tokens"] == 1


def test_several_responses_differ_and_are_counted_together(http: httpx.Client) -> None:
    body = ask(http, RAW, temperature=1.5, seed=7, num_responses=3, max_new_tokens=8)
    texts = [result["generated_text"] for result in body["results"]]
    assert len(set(texts)) == 3
    assert body["num_tokens"] <= 24
    assert texts[0] == text(http, RAW, temperature=1.5, seed=7, max_new_tokens=8)


@pytest.mark.parametrize(
    "setting",
    [
        {"top_k": 1, "temperature": 2},
        {"top_p": 0.001, "temperature": 2},
        {"min_p": 1, "temperature": 2},
    ],
)
def test_samplers_that_leave_one_token_are_greedy(
    http: httpx.Client, setting: dict[str, float]
) -> None:
    assert text(http, RAW, max_new_tokens=8, seed=1, **setting) == text(
        http, RAW, max_new_tokens=8, seed=1
    )


@pytest.mark.parametrize(
    "penalty",
    [{"repetition_penalty": 5}, {"presence_penalty": 2}, {"frequency_penalty": 2}],
)
def test_penalties_change_the_answer(http: httpx.Client, penalty: dict[str, float]) -> None:
    prompt = "one one one one one one one one"
    free = text(http, prompt, max_new_tokens=12, seed=1)
    assert text(http, prompt, max_new_tokens=12, seed=1, **penalty) != free


def test_a_prefill_is_continued_and_not_repeated(http: httpx.Client) -> None:
    answer = text(http, FRANCE + "The capital of France is", max_new_tokens=6)
    assert answer.startswith(" Paris")


def test_a_raw_prompt_is_continued(http: httpx.Client) -> None:
    assert ask(http, RAW, max_new_tokens=3)["num_input_tokens"] == 5


@pytest.mark.parametrize("model", ["SmolLM2-135M-Instruct", "HuggingFaceTB/SmolLM2-135M-Instruct"])
def test_the_engines_own_model_name_is_accepted(http: httpx.Client, model: str) -> None:
    answer = http.post(f"inference/{model}", json={"input": HELLO, "max_new_tokens": 1})
    assert answer.status_code == 200


def test_models_and_health_need_no_key(
    local_server: LocalVoxtral,
) -> None:
    with httpx.Client(base_url=local_server.base_url, trust_env=False) as stranger:
        listed = stranger.get("openai/models").json()
        health = stranger.get(local_server.base_url.removesuffix("/v1") + "/health")
    assert listed["object"] == "list"
    assert [model["id"] for model in listed["data"]] == [
        "mistralai/Voxtral-Mini-3B-2507",
        "SmolLM2-135M-Instruct",
        "HuggingFaceTB/SmolLM2-135M-Instruct",
    ]
    assert health.json() == {"status": "ok", "model": "SmolLM2-135M-Instruct"}
