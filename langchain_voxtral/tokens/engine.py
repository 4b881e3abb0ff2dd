"""Tokens by the embedded engine's own model, which is asked for them."""

import json
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from langchain_voxtral.client import VoxtralClient
from langchain_voxtral.protocol.json_body import encode_request
from langchain_voxtral.transport import post


def ask_engine(client: VoxtralClient, body: Mapping[str, Any], model: str) -> list[int]:
    """Return the tokens of a text, or of the prompt that a request becomes.

    Args:
        client: The client of a model with `base_url="local"`; the engine is started on first use.
        body: A text as `prompt`, or the body of a request for completions.
        model: The model.

    Raises:
        VoxtralError: Of the class that fits the failure.
    """
    address = client.resolve()
    content = encode_request({**body, "model": model})
    request = client.http_request(address, "chat_completions", content, model=model)
    request = replace(request, url=f"{address.base_url}/tokenize")
    return list(json.loads(post(client.connections(address), request).content)["tokens"])
