"""Ready-made replies for the scripted server, as in DeepInfra's API documentation."""

import json
from collections.abc import Mapping

from support.scripted_server import Reply, Step


def whole(*texts: str, headers: Mapping[str, str] | None = None) -> Reply:
    """Return the documented unstreamed response; several texts as for `n`."""
    document = {
        "request_id": "RWZDRhS5kdoM1XWwXLEshynO",
        "inference_status": {
            "status": "succeeded",
            "runtime_ms": 243,
            "cost": 0.0000436,
            "tokens_input": 12,
            "tokens_generated": 25,
        },
        "results": [{"generated_text": text} for text in texts],
        "num_tokens": 25,
        "num_input_tokens": 12,
    }
    return json_reply(document, headers=headers)


def json_reply(
    document: object, *, status: int = 200, headers: Mapping[str, str] | None = None
) -> Reply:
    """Return a JSON document."""
    kind = {"content-type": "application/json"}
    return Reply(status, kind | dict(headers or {}), json.dumps(document).encode())


def event(document: object) -> bytes:
    """Return one server-sent event."""
    return b"data: " + json.dumps(document).encode() + b"\n\n"


def token(text: str, *, special: bool = False) -> bytes:
    """Return the documented event of a token."""
    details = {"id": None, "text": text, "logprob": 0.0, "special": special}
    return event({"token": details, "generated_text": "", "details": None, "estimated_cost": None})


def final(**changed: object) -> bytes:
    """Return the documented last event with some fields changed."""
    documented = {
        "token": {"id": None, "text": "", "logprob": 0.0, "special": False},
        "generated_text": None,
        "details": {"finish_reason": "stop"},
        "num_output_tokens": 25,
        "num_input_tokens": 12,
        "estimated_cost": 0.0000386,
    }
    return event(documented | changed)


def events(*steps: Step, headers: Mapping[str, str] | None = None) -> Reply:
    """Return an event stream of these steps."""
    return Reply(headers={"content-type": "text/event-stream"} | dict(headers or {}), steps=steps)


def streamed(*texts: str, headers: Mapping[str, str] | None = None) -> Reply:
    """Return the documented stream of these tokens, each in a chunk of its own."""
    return events(*map(token, texts), final(), headers=headers)
