"""Requests that the embedded server rejects, in the documented format."""

import json
import re
import socket

import httpx
import pytest

from langchain_voxtral.local import LocalVoxtral

INFER = "inference/mistralai/Voxtral-Mini-3B-2507"


def refusal(answer: httpx.Response) -> tuple[int, object]:
    assert answer.headers["x-voxtral-model"] == "SmolLM2-135M-Instruct"
    assert len(answer.headers["x-request-id"]) == 24
    return answer.status_code, answer.json()


@pytest.mark.parametrize("authorization", ["Bearer wrong", "wrong", "", "Bearer"])
def test_a_wrong_key(http: httpx.Client, authorization: str) -> None:
    answer = http.post(INFER, json={"input": "Hi"}, headers={"Authorization": authorization})
    assert refusal(answer) == (401, {"detail": "User is not authorized to access this resource"})


def test_an_unknown_model(http: httpx.Client) -> None:
    answer = http.post("inference/meta/other", json={"input": "Hi"})
    assert refusal(answer) == (404, {"error": "Model not found"})


def test_an_unknown_route(http: httpx.Client) -> None:
    assert refusal(http.get("nothing/here")) == (404, {"detail": "Not Found"})


def test_an_unknown_method(http: httpx.Client) -> None:
    answer = http.get(INFER)
    assert refusal(answer) == (405, {"detail": "Method Not Allowed"})
    assert answer.headers["allow"] == "POST"


def test_a_bad_body(http: httpx.Client) -> None:
    assert refusal(http.post(INFER, json={"input": "Hi", "top_p": 2})) == (
        422,
        {
            "detail": [
                {
                    "type": "less_than_equal",
                    "loc": ["body", "top_p"],
                    "msg": "Input should be less than or equal to 1",
                    "input": 2,
                }
            ]
        },
    )


@pytest.mark.parametrize("stream", [False, True])
def test_a_prompt_longer_than_the_context(http: httpx.Client, stream: bool) -> None:
    """The status of a stream is also known before the answer starts."""
    answer = http.post(INFER, json={"input": "x " * 5000, "stream": stream})
    message = "Requested input length 5001 exceeds maximum input length 4096"
    assert refusal(answer) == (400, {"error": {"message": message}})


@pytest.mark.parametrize(
    ("unit", "count", "tokens"),
    [
        ("<repo_name>", 5_000, 5_000),
        ("<|im_start|>x", 30_000, 30_000),
        ("[INST]", 50_000, 50_000),
        ("a", 600_000, 4_687),
        (" ", 600_000, 4_687),
        ("word ", 200_000, 7_812),
    ],
)
def test_a_prompt_that_cannot_fit_is_refused_before_it_is_read(
    http: httpx.Client, unit: str, count: int, tokens: int
) -> None:
    """llama.cpp would take minutes for some of them; the numbers are lower bounds."""
    answer = http.post(INFER, json={"input": f"<|im_start|>user\n{unit * count}"})
    status, body = answer.status_code, answer.json()["error"]["message"]
    assert status == 400
    [length] = re.findall(r"^Requested input length (\d+) exceeds maximum input length 4096$", body)
    assert tokens <= int(length) <= tokens + 1


def test_a_schema_that_cannot_be_enforced(http: httpx.Client) -> None:
    schema = {"type": "json_schema", "json_schema": {"schema": {"not": {}}}}
    message = "response_format: schema.not is not supported by the embedded engine"
    assert refusal(http.post(INFER, json={"input": "Hi", "response_format": schema})) == (
        400,
        {"error": {"message": message}},
    )


def test_another_type_of_body(http: httpx.Client) -> None:
    answer = http.post(INFER, content=b"input=Hi", headers={"content-type": "text/plain"})
    message = "This takes application/json, not text/plain"
    assert refusal(answer) == (415, {"error": {"message": message}})


@pytest.mark.parametrize("encoding", ["gzip", "br"])
def test_a_compressed_body(http: httpx.Client, encoding: str) -> None:
    headers = {"content-type": "application/json", "content-encoding": encoding}
    message = f"Content-Encoding {encoding!r} is not supported"
    answer = http.post(INFER, content=b"x", headers=headers)
    assert refusal(answer) == (415, {"error": {"message": message}})


@pytest.mark.parametrize("host", ["evil.example", "127.0.0.1.evil.example:80", ""])
def test_a_name_that_was_rebound_to_loopback(http: httpx.Client, host: str) -> None:
    answer = http.get("openai/models", headers={"host": host})
    name = host.removesuffix(":80")
    assert refusal(answer) == (400, {"error": {"message": f"Invalid Host header: {name!r}"}})


def test_loopback_by_name(http: httpx.Client) -> None:
    assert http.get("openai/models", headers={"host": "localhost:1"}).status_code == 200


@pytest.mark.parametrize("size", [1001, 900_000])
def test_a_body_that_is_too_large(size: int) -> None:
    """Sent in chunks without a length, so that it is only detected while reading."""
    with LocalVoxtral(n_ctx=512, max_body_bytes=1000, api_key="") as server:
        answer = httpx.post(
            f"{server.base_url}/{INFER}",
            content=(bytes(100) for _ in range(size // 100 + 1)),
            headers={"content-type": "application/json"},
            trust_env=False,
        )
    message = "The request is larger than 1000 bytes"
    assert refusal(answer) == (413, {"error": {"message": message}})


def test_more_requests_than_the_queue_holds() -> None:
    """A waiting stream starts with a comment, which shows that it is in the queue."""
    endless = {"type": "regex", "regex": "[a-z ]{30000}"}
    body = {"input": "Once", "stream": True, "response_format": endless}
    with (
        LocalVoxtral(n_ctx=512, queue_size=1, api_key="", keep_alive=0.001) as server,
        httpx.Client(base_url=server.base_url, trust_env=False, timeout=60) as client,
        client.stream("POST", INFER, json=body) as running,
    ):
        pieces = (
            running.iter_text()
        )  # kept, because httpx closes a response whose iterator is dropped
        while not next(pieces).startswith("data: "):
            pass
        with client.stream("POST", INFER, json=body) as waiting:
            comments = waiting.iter_text()
            assert next(comments).startswith(": keep-alive")
            refused = client.post(INFER, json=body)
    assert refused.headers["retry-after"] == "1"
    assert refusal(refused) == (
        429,
        {
            "error": {
                "message": "Model busy, retry later",
                "type": "invalid_request_error",
                "param": None,
                "code": "engine_overloaded",
            }
        },
    )


def test_a_request_cut_in_its_body_does_not_harm_the_server(
    local_server: LocalVoxtral, http: httpx.Client
) -> None:
    port = int(local_server.base_url.rsplit(":", 1)[1].removesuffix("/v1"))
    with socket.create_connection(("127.0.0.1", port)) as client:
        client.sendall(
            f"POST /v1/{INFER} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
            f"Authorization: Bearer {local_server.api_key}\r\nContent-Length: 100\r\n\r\n"
            '{"input"'.encode()
        )
    answer = http.post(
        INFER,
        content=json.dumps({"input": "Hi", "max_new_tokens": 1}).encode(),
        headers={"content-type": "application/json"},
    )
    assert answer.status_code == 200
