"""Request chat completions of the embedded engine and read the responses."""

import json
from typing import Any

import httpx
from support.local_responses import CHAT, PLAIN_CHAT, event_data

ENGINE = "SmolLM2-135M-Instruct"
FRANCE = [{"role": "user", "content": "What is the capital of France?"}]


def body(messages: object = FRANCE, **fields: object) -> dict[str, object]:
    return {"model": PLAIN_CHAT["model"], "messages": messages, "temperature": 0, **fields}


def ask(http: httpx.Client, messages: object = FRANCE, **fields: object) -> dict[str, Any]:
    answer = http.post(CHAT, json=body(messages, **fields))
    assert answer.status_code == 200, answer.text
    completion: dict[str, Any] = answer.json()
    return completion


def text(http: httpx.Client, messages: object = FRANCE, **fields: object) -> str:
    content: str = ask(http, messages, **fields)["choices"][0]["message"]["content"]
    return content


def events(http: httpx.Client, messages: object = FRANCE, **fields: object) -> list[str]:
    with http.stream("POST", CHAT, json=body(messages, stream=True, **fields)) as answer:
        assert answer.headers["content-type"] == "text/event-stream"
        return event_data(answer.read().decode())


def chunks(http: httpx.Client, messages: object = FRANCE, **fields: object) -> list[dict[str, Any]]:
    *data, done = events(http, messages, **fields)
    assert done == "[DONE]"
    return [json.loads(event) for event in data]


def deltas(http: httpx.Client, messages: object = FRANCE, **fields: object) -> list[dict[str, Any]]:
    return [chunk["choices"][0]["delta"] for chunk in chunks(http, messages, **fields)]
