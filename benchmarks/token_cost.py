"""What a streamed token costs from bytes to pieces of text, without a connection.

    python benchmarks/token_cost.py

Microseconds of processor time for each token event, the best of seven rounds, as the documented
stream is read token by token: alone, and with tools on offer, whose calls are looked for.
"""

import gc
import json
import time

from langchain_voxtral.completions.request import CompletionRequest
from langchain_voxtral.completions.stream import CompletionStream
from langchain_voxtral.completions.tools import ToolCallParsing
from langchain_voxtral.protocol.endpoints import NATIVE
from langchain_voxtral.transport import HTTPRequest

TOKENS, ROUNDS = 20_000, 7
EVENT = {"token": {"id": None, "text": " word", "logprob": 0.0, "special": False}}
REST = {"generated_text": "", "details": None, "estimated_cost": None}
READ = b"data: " + json.dumps(EVENT | REST).encode() + b"\n\n"
SENT = HTTPRequest("http://127.0.0.1/", b"{}", {})


def cost(tool_parsing: ToolCallParsing | None) -> float:
    """Return the microseconds that a token takes."""
    best = float("inf")
    for _ in range(ROUNDS):
        request = CompletionRequest(
            NATIVE, "m", {}, stop_sequences=["<|eot_id|>"], unescape=True, tool_parsing=tool_parsing
        )
        decoder = CompletionStream(request, SENT)
        decoder.start_attempt({}, 1)
        gc.disable()
        start = time.process_time()
        for _ in range(TOKENS):
            decoder.feed(READ)
        best = min(best, time.process_time() - start)
        gc.enable()
    return best / TOKENS * 1e6


print(f"text alone          {cost(None):5.2f} us")
print(f"with tools on offer {cost(ToolCallParsing(['get_weather'])):5.2f} us")
