"""Chat completions of the embedded engine, in OpenAI's shapes as DeepInfra sends them."""

import json
import re
from typing import Any

import httpx
import pytest
from support.local_chat import ENGINE, FRANCE, ask, body, chunks, deltas, events, text
from support.local_responses import CHAT, PLAIN_CHAT

from langchain_voxtral.local import LocalVoxtral


def test_a_completion_has_the_documented_shape(http: httpx.Client) -> None:
    answer = http.post(CHAT, json=body(max_tokens=3))
    completion = answer.json()
    read = completion["usage"]["prompt_tokens"]
    assert completion == {
        "id": f"chatcmpl-{answer.headers['x-request-id']}",
        "object": "chat.completion",
        "created": completion["created"],
        "model": ENGINE,
        "choices": [
            {
                "index": 0,
                "message": {"role": "assistant", "content": "The capital of"},
                "logprobs": None,
                "finish_reason": "length",
            }
        ],
        "usage": {
            "prompt_tokens": read,
            "completion_tokens": 3,
            "total_tokens": read + 3,
            "estimated_cost": 0.0,
        },
    }
    assert completion["created"] > 1_700_000_000
    assert answer.headers["x-voxtral-model"] == ENGINE


def test_a_stream_has_the_documented_chunks(http: httpx.Client) -> None:
    first, *rest = chunks(http, max_tokens=3)
    heading = {name: first[name] for name in ("id", "object", "created", "model")}
    assert heading["id"].startswith("chatcmpl-")
    assert (heading["object"], heading["model"]) == ("chat.completion.chunk", ENGINE)
    nothing = {"index": 0, "logprobs": None, "finish_reason": None}
    assert first == {
        **heading,
        "choices": [{**nothing, "delta": {"role": "assistant", "content": ""}}],
    }
    assert rest == [
        *(
            {**heading, "choices": [{**nothing, "delta": {"content": content}}]}
            for content in ("The", " capital", " of")
        ),
        {
            **heading,
            "choices": [{**nothing, "delta": {}, "finish_reason": "length"}],
            "usage": ask(http, max_tokens=3)["usage"],
        },
    ]


def test_a_stream_may_leave_the_usage_out(http: httpx.Client) -> None:
    received = chunks(http, max_tokens=1, stream_options={"include_usage": False})
    assert ["usage" in chunk for chunk in received] == [False] * 3


def test_a_stream_adds_up_to_the_answer(http: httpx.Client) -> None:
    *received, last = chunks(http, seed=3)
    content = "".join(chunk["choices"][0]["delta"]["content"] for chunk in received)
    whole = ask(http, seed=3)
    assert content == whole["choices"][0]["message"]["content"]
    assert last["choices"][0]["finish_reason"] == "stop"
    assert last["usage"] == whole["usage"]


def test_the_model_answers_the_conversation_it_is_sent(http: httpx.Client) -> None:
    assert "Paris" in text(http)
    assert "Rex" in text(
        http,
        [
            {"role": "user", "content": "My dog is called Rex."},
            {"role": "assistant", "content": "Nice!"},
            {"role": "user", "content": [{"type": "text", "text": "What is my dog called?"}]},
        ],
    )


def test_a_last_answer_is_continued_and_not_repeated(http: httpx.Client) -> None:
    begun = {"role": "assistant", "content": "The capital of France is"}
    assert text(http, [*FRANCE, begun], max_tokens=6).startswith(" Paris")


def test_a_stop_sequence_is_left_out(http: httpx.Client) -> None:
    [choice] = ask(http, stop=" of")["choices"]
    assert (choice["message"]["content"], choice["finish_reason"]) == ("The capital", "stop")
    assert "".join(delta.get("content", "") for delta in deltas(http, stop=[" of"])) == (
        "The capital"
    )


def test_several_choices_differ_and_are_counted_together(http: httpx.Client) -> None:
    completion = ask(http, temperature=1.5, seed=7, n=3, max_tokens=8)
    content = [choice["message"]["content"] for choice in completion["choices"]]
    assert [choice["index"] for choice in completion["choices"]] == [0, 1, 2]
    assert len(set(content)) == 3
    assert completion["usage"]["completion_tokens"] <= 24
    assert content[0] == text(http, temperature=1.5, seed=7, max_tokens=8)


def test_logprobs_have_the_text_of_each_token(http: httpx.Client) -> None:
    whole = ask(http, logprobs=True, max_tokens=3)["choices"][0]["logprobs"]
    assert whole == {
        "content": [
            {"token": content, "logprob": known["logprob"], "bytes": [*content.encode()]}
            | {"top_logprobs": []}
            for content, known in zip(("The", " capital", " of"), whole["content"], strict=True)
        ],
        "refusal": None,
    }
    assert all(token["logprob"] < 0 for token in whole["content"])
    streamed = [chunk["choices"][0]["logprobs"] for chunk in chunks(http, logprobs=True, seed=1)]
    tokens = [token["token"] for known in streamed if known for token in known["content"]]
    assert "".join(tokens) == text(http, seed=1)


@pytest.mark.parametrize(
    ("wanted", "follows"),
    [
        ({"type": "json_object"}, lambda content: isinstance(json.loads(content), dict)),
        (
            {"type": "json_schema", "json_schema": {"name": "n", "schema": {"type": "integer"}}},
            lambda content: isinstance(json.loads(content), int),
        ),
        ({"type": "regex", "regex": "(yes|no)!"}, re.compile("(yes|no)!").fullmatch),
        ({"type": "text"}, str),
    ],
)
def test_response_formats_are_followed(http: httpx.Client, wanted: object, follows: Any) -> None:
    assert follows(text(http, response_format=wanted))


# Routes and refusals


@pytest.mark.parametrize("path", ["openai/chat/completions", "chat/completions"])
def test_an_authentication_error_has_openais_shape(http: httpx.Client, path: str) -> None:
    assert http.post(path, json=PLAIN_CHAT).status_code == 200
    answer = http.post(path, json=PLAIN_CHAT, headers={"Authorization": "Bearer wrong"})
    assert (answer.status_code, answer.json()) == (
        401,
        {
            "error": {
                "message": "Not authenticated",
                "type": "invalid_request_error",
                "param": None,
                "code": None,
            }
        },
    )


def test_an_unknown_model(http: httpx.Client) -> None:
    answer = http.post(CHAT, json=PLAIN_CHAT | {"model": "meta/other"})
    assert (answer.status_code, answer.json()) == (404, {"error": "Model not found"})


def test_the_engines_own_model_name_is_accepted(http: httpx.Client) -> None:
    assert http.post(CHAT, json=PLAIN_CHAT | {"model": ENGINE}).json()["model"] == ENGINE


@pytest.mark.parametrize("stream", [False, True])
def test_a_conversation_longer_than_the_context(http: httpx.Client, stream: bool) -> None:
    answer = http.post(CHAT, json=body([{"role": "user", "content": "x " * 5000}], stream=stream))
    assert answer.status_code == 400
    message = answer.json()["error"]["message"]
    assert re.fullmatch(r"Requested input length 50\d\d exceeds maximum input length 4096", message)


def test_a_bad_body(http: httpx.Client) -> None:
    answer = http.post(CHAT, json=PLAIN_CHAT | {"logit_bias": {}})
    fault = {
        "type": "extra_forbidden",
        "loc": ["body", "logit_bias"],
        "msg": "Extra inputs are not permitted",
        "input": {},
    }
    assert (answer.status_code, answer.json()) == (422, {"detail": [fault]})


def test_in_a_stream_a_constraint_that_fails_replaces_the_end(
    http: httpx.Client,
) -> None:
    *_, last = events(http, response_format={"type": "regex", "regex": "(?=a)ab"})
    message = "response_format: the embedded engine cannot enforce this schema or pattern"
    assert json.loads(last) == {"error": {"message": message}}


@pytest.mark.parametrize("base", ["openai/models", "models"])
def test_models_are_listed_and_retrieved_without_a_key(
    local_server: LocalVoxtral, base: str
) -> None:
    with httpx.Client(base_url=local_server.base_url, trust_env=False) as stranger:
        listed = stranger.get(base).json()["data"]
        received = [stranger.get(f"{base}/{model['id']}").json() for model in listed]
        unknown = stranger.get(f"{base}/meta/other")
    assert received == listed
    assert {model["object"] for model in listed} == {"model"}
    assert (unknown.status_code, unknown.json()) == (404, {"error": "Model not found"})


# Life


def test_a_client_that_disconnects_ends_the_generation() -> None:
    endless = body(response_format={"type": "regex", "regex": "[a-z ]{30000}"})
    with (
        LocalVoxtral(n_ctx=2048, api_key="") as server,
        httpx.Client(base_url=server.base_url, trust_env=False, timeout=60) as client,
    ):
        with client.stream("POST", CHAT, json=endless | {"stream": True}) as answer:
            pieces = answer.iter_text()
            while '"content": ""' in next(pieces):
                pass
        assert client.post(CHAT, json=PLAIN_CHAT).status_code == 200
        assert server.app.model.engine.tokens_generated < 1500


def test_comments_keep_the_stream_alive_while_a_prompt_is_processed() -> None:
    with LocalVoxtral(n_ctx=1024, api_key="", keep_alive=0.01) as server:
        answer = httpx.post(
            f"{server.base_url}/{CHAT}",
            json=body([{"role": "user", "content": "x " * 400}], stream=True, max_tokens=1),
            trust_env=False,
            timeout=60,
        )
    events_sent = answer.text.split("\n\n")
    assert json.loads(events_sent[0].removeprefix("data: "))["choices"][0]["delta"] == {
        "role": "assistant",
        "content": "",
    }
    assert ": keep-alive" in events_sent


async def test_a_mounted_application_keeps_its_key() -> None:
    """The path of a request then starts with the mount path."""
    with LocalVoxtral(n_ctx=512) as server:
        transport = httpx.ASGITransport(server.app, root_path="/voxtral")
        async with httpx.AsyncClient(transport=transport) as client:
            answer = await client.post(f"http://127.0.0.1/voxtral/v1/{CHAT}", json=PLAIN_CHAT)
    assert answer.status_code == 401
