"""Faults that a server reports itself: error statuses, errors in a body, redirects."""

from support.faults.builders import (
    AT_ONCE,
    both,
    breaks,
    ends_in,
    fails,
    recovers,
    refused,
    reported,
)
from support.faults.runner import KEY, Case, Fault, Where
from support.scripted_server import Reply
from support.sse_replies import event, final

from langchain_voxtral.errors import (
    VoxtralAPIError,
    VoxtralAuthenticationError,
    VoxtralContextOverflowError,
    VoxtralInvalidRequestError,
    VoxtralNotFoundError,
    VoxtralPaymentRequiredError,
    VoxtralPermissionDeniedError,
    VoxtralRateLimitError,
    VoxtralResponseError,
    VoxtralTimeoutError,
    VoxtralUnsupportedFeatureError,
)

HTML = b"<html><head><title>502 Bad Gateway</title></head><body>nginx</body></html>"
OVERFLOW = "Requested input length 99009 exceeds maximum input length 8192"

REPORTED = [
    reported({"error": "boom"}, VoxtralAPIError, "boom"),
    reported({"error": {"message": "boom"}}, VoxtralAPIError, "boom"),
    reported({"detail": "boom"}, VoxtralAPIError, "boom"),
    reported({"detail": {"error": "boom"}}, VoxtralAPIError, "boom"),
    reported({"detail": [{"msg": "boom"}]}, VoxtralAPIError, "boom"),
    reported({"message": "boom", "param": "input"}, VoxtralAPIError, "input: boom"),
    reported({"error_type": "generation", "error_message": "boom"}, VoxtralAPIError, "boom"),
    reported({"error": "boom", "error_type": "overloaded"}, VoxtralRateLimitError, "boom"),
    reported({"inference_status": {"status": "failed"}}, VoxtralAPIError, "failed"),
    reported({"error": OVERFLOW}, VoxtralContextOverflowError, OVERFLOW),
    *(
        Fault(
            f"an error in the stream: {shape}",
            stream=Case(ends_in(chunks, final()), breaks(VoxtralAPIError, "boom")),
        )
        for shape, chunks in {
            "error_type, error_message": event(
                {"error_type": "generation", "error_message": "boom"}
            ),
            "error, error_type": event({"error": "boom", "error_type": "generation"}),
            "error.message": event({"error": {"message": "boom"}}),
            "event: error": b'event: error\ndata: {"reason": "boom"}\n\n',
            "event: error, no JSON": b"event: error\ndata: boom\n\n",
        }.items()
    ),
]

WAITS = [
    recovers("429, Retry-After: 0", Reply(429, AT_ONCE, b"busy")),
    *(
        recovers(f"429, Retry-After: {value}", Reply(429, {"retry-after": value}, b"busy"))
        for value in ("Mon, 02 Nov 2020 12:00:00 GMT", "-5", "soon")
    ),
    recovers("429, no Retry-After", Reply(429, body=b"busy")),
    *(
        both(
            f"429, Retry-After: {value}",
            [Reply(429, {"retry-after": value}, b'{"error": "Model busy"}')],
            fails(VoxtralRateLimitError, "Model busy", "status 429"),
        )
        for value in ("86400", "Mon, 02 Nov 2126 12:00:00 GMT")
    ),
]

_LASTING = {
    408: VoxtralTimeoutError,
    429: VoxtralRateLimitError,
    500: VoxtralAPIError,
    502: VoxtralAPIError,
    503: VoxtralAPIError,
    504: VoxtralAPIError,
}
STATUSES = [
    *(recovers(f"{status}, twice", *[Reply(status, AT_ONCE, b"busy")] * 2) for status in _LASTING),
    *(
        both(
            f"{status}, always",
            [Reply(status, AT_ONCE, b"busy")],
            fails(error, "busy", f"status {status}", "3 attempts", requests=3),
        )
        for status, error in _LASTING.items()
    ),
    both(
        "502 with a page, always",
        [Reply(502, AT_ONCE | {"content-type": "text/html"}, HTML)],
        fails(VoxtralAPIError, '"502 Bad Gateway"', requests=3),
    ),
]

REFUSALS = [
    refused(400, {"detail": "no such field"}, VoxtralInvalidRequestError, "no such field"),
    refused(
        400,
        {"error": {"message": "maximum context length is 32768 tokens"}},
        VoxtralContextOverflowError,
        "maximum context length is 32768 tokens",
    ),
    refused(500, {"error": {"message": OVERFLOW}}, VoxtralContextOverflowError, OVERFLOW),
    refused(
        401,
        {"error": f"Incorrect API key: {KEY}"},
        VoxtralAuthenticationError,
        "Incorrect API key: [redacted]",
        "DEEPINFRA_API_TOKEN",
    ),
    refused(
        402,
        {"detail": "inference prohibited, please enter a payment method"},
        VoxtralPaymentRequiredError,
        "please enter a payment method",
    ),
    refused(403, {"error": "forbidden"}, VoxtralPermissionDeniedError, "forbidden"),
    refused(
        403,
        {"detail": {"error": "Not authenticated"}},
        VoxtralAuthenticationError,
        "Not authenticated",
    ),
    refused(404, {"error": "Model not found"}, VoxtralNotFoundError, "Model not found"),
    refused(
        405,
        {"error": {"message": "Tool calling is not supported", "param": "tools"}},
        VoxtralUnsupportedFeatureError,
        "tools: Tool calling is not supported",
    ),
    refused(409, {"error": "conflict"}, VoxtralInvalidRequestError, "conflict"),
    refused(413, {"error": "too large"}, VoxtralInvalidRequestError, "too large"),
    refused(
        422,
        {"detail": [{"loc": ["body", "top_p"], "msg": "Input should be less than 1"}]},
        VoxtralInvalidRequestError,
        "top_p: Input should be less than 1",
    ),
    refused(
        422,
        {"detail": [{"loc": ["body", "audio"], "msg": "Field required"}]},
        VoxtralUnsupportedFeatureError,
        "audio: Field required",
        "base_url='local'",
    ),
    refused(423, {"error": "Locked"}, VoxtralPermissionDeniedError, "Locked"),
    *(
        both(
            f"{status} to another host",
            [Reply(status, body=b"")],
            fails(VoxtralResponseError, "redirects are not followed", "/inference/other"),
            where=Where.REDIRECT,
        )
        for status in (301, 302, 303, 307, 308)
    ),
]

RESPONSE_FAULTS = [*REPORTED, *WAITS, *STATUSES, *REFUSALS]
