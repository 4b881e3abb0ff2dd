"""The exchanges in DeepInfra's API documentation, and a server that answers with them."""

import json
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from typing import Any

import httpx
from langchain_core.messages import AIMessage, BaseMessage, HumanMessage, SystemMessage
from langchain_core.messages.ai import UsageMetadata

URL = "https://api.deepinfra.com/v1/inference/mistralai/Voxtral-Mini-3B-2507"
KEY = "tok-4f81c6e0-distinctive"

AS_PRINTED: dict[str, Any] = {"temperature": None, "top_p": None, "stop": []}
"""Options with which only the documented fields are sent."""

HELLO_INPUT = (
    "<|begin_of_text|><|start_header_id|>user<|end_header_id|>\n\nHello!<|eot_id|>"
    "<|start_header_id|>assistant<|end_header_id|>\n\n"
)
HELLO_TEXT = (
    "Hello! It's nice to meet you. Is there something I can help you with or would you like to "
    "chat for a bit?"
)
HELLO_BODY = {"input": HELLO_INPUT, "stop": []}
HELLO_ANSWER = {
    "request_id": "RWZDRhS5kdoM1XWwXLEshynO",
    "inference_status": {
        "status": "succeeded",
        "runtime_ms": 243,
        "cost": 0.0000436,
        "tokens_input": 12,
        "tokens_generated": 25,
    },
    "results": [{"generated_text": HELLO_TEXT}],
    "num_tokens": 25,
    "num_input_tokens": 12,
}

MODEL = "mistralai/Voxtral-Mini-3B-2507"
USAGE = UsageMetadata(input_tokens=12, output_tokens=25, total_tokens=37)
METADATA = {
    "model_name": MODEL,
    "model_provider": "deepinfra",
    "endpoint": "native",
    "request_id": "RWZDRhS5kdoM1XWwXLEshynO",
    "cost": 0.0000436,
    "runtime_ms": 243,
}
"""The metadata of the answer above, and of the stream below."""
STREAM_METADATA = {
    "model_name": MODEL,
    "model_provider": "deepinfra",
    "endpoint": "native",
    "finish_reason": "stop",
    "finish_reason_source": "server",
    "cost": 0.0000386,
}

CHEF_SYSTEM = "Respond like a michelin starred chef."
CHEF_QUESTION = "Can you name at least two different techniques to cook lamb?"
CHEF_ANSWER = (
    "Bonjour! Let me tell you, my friend, cooking lamb is an art form, and I'm more than happy to "
    "share with you not two, but three of my favorite techniques to coax out the rich, unctuous "
    "flavors and tender textures of this majestic protein. First, we have the classic "
    '"Sous Vide" method. Next, we have the ancient art of "Sous le Sable". And finally, we have '
    'the more modern technique of "Hot Smoking."'
)
CHEF_FOLLOW_UP = "Tell me more about the second method."
CHEF_MESSAGES: list[BaseMessage] = [
    SystemMessage(CHEF_SYSTEM),
    HumanMessage(CHEF_QUESTION),
    AIMessage(CHEF_ANSWER),
    HumanMessage(CHEF_FOLLOW_UP),
]
CHEF_BODY = {
    "input": (
        f"<|begin_of_text|><|start_header_id|>system<|end_header_id|>\n\n{CHEF_SYSTEM}<|eot_id|>"
        f"<|start_header_id|>user<|end_header_id|>\n\n{CHEF_QUESTION}<|eot_id|>"
        f"<|start_header_id|>assistant<|end_header_id|>\n\n{CHEF_ANSWER}<|eot_id|>"
        f"<|start_header_id|>user<|end_header_id|>\n\n{CHEF_FOLLOW_UP}<|eot_id|>"
        "<|start_header_id|>assistant<|end_header_id|>\n\n"
    ),
    "stop": [],
}

TOKENS = ("Hello", "!", " It", "'s")
"""The tokens of the documented stream, up to its ellipsis."""


def token_event(text: str, *, token_id: int | None = None, logprob: float = 0.0) -> bytes:
    token = {"id": token_id, "text": text, "logprob": logprob, "special": False}
    event = {"token": token, "generated_text": "", "details": None, "estimated_cost": None}
    return b"data: " + json.dumps(event).encode() + b"\n\n"


FINAL_EVENT = (
    b'data: {"token": {"id": null, "text": "", "logprob": 0.0, "special": false}, '
    b'"generated_text": null, "details": {"finish_reason": "stop"}, "num_output_tokens": 25, '
    b'"num_input_tokens": 12, "estimated_cost": 0.0000386}\n\n'
)
STREAM = (*(token_event(token) for token in TOKENS), FINAL_EVENT)


class Reads(httpx.SyncByteStream, httpx.AsyncByteStream):
    """A body that arrives in these reads, for sync and async clients."""

    def __init__(self, reads: Sequence[bytes]) -> None:
        self._reads = reads

    def __iter__(self) -> Iterator[bytes]:
        yield from self._reads

    async def __aiter__(self) -> AsyncIterator[bytes]:
        for read in self._reads:
            yield read


def answering(
    document: object, status: int = 200, headers: dict[str, str] | None = None
) -> httpx.Response:
    return httpx.Response(status, json=document, headers=headers)


def streaming(*reads: bytes) -> httpx.Response:
    return httpx.Response(
        200, headers={"content-type": "text/event-stream"}, stream=Reads(reads or STREAM)
    )


def as_documented(request: httpx.Request) -> httpx.Response:
    """Answer as documented, with as many results as were requested."""
    asked = json.loads(request.content)
    if asked.get("stream"):
        return streaming()
    count = asked.get("num_responses", 1)
    texts = [HELLO_TEXT, *(f"Answer {number}" for number in range(2, count + 1))]
    return answering(HELLO_ANSWER | {"results": [{"generated_text": text} for text in texts]})


class Server:
    """Answers requests and records them.

    `answer` may be replaced by any function from a request to a response.
    """

    def __init__(self) -> None:
        self.requests: list[httpx.Request] = []
        self.answer: Callable[[httpx.Request], httpx.Response] = as_documented
        self.settings: dict[str, Any] = {
            "http_client": httpx.Client(transport=httpx.MockTransport(self._handle)),
            "http_async_client": httpx.AsyncClient(transport=httpx.MockTransport(self._handle)),
        }

    def _handle(self, request: httpx.Request) -> httpx.Response:
        self.requests.append(request)
        return self.answer(request)

    @property
    def bodies(self) -> list[Any]:
        return [json.loads(request.content) for request in self.requests]

    @property
    def body(self) -> Any:
        """The body of the only request."""
        (body,) = self.bodies
        return body

    @property
    def request(self) -> httpx.Request:
        """The only request."""
        (request,) = self.requests
        return request
