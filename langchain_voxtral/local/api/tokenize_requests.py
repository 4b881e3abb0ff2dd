"""The body of `POST /v1/tokenize`: a text, or a request whose prompt is to be counted.

The shape is vLLM's (`/tokenize`: `prompt` or `messages`; `count`, `max_model_len`, `tokens`), and
`input` is that of a native request. What else a request has is taken, too, since tools and the form
of the answer decide what the model's prompt is.
"""

from typing import Any

from langchain_voxtral.local.api.chat_requests import ChatRequest
from langchain_voxtral.local.api.requests import InferenceRequest, parse_json, validate
from langchain_voxtral.local.models import VOXTRAL, TextModel
from langchain_voxtral.local.prompting.tool_calling import plan_chat, plan_native
from langchain_voxtral.local.response_formats import StrictModel


class TextRequest(StrictModel):
    """A text."""

    prompt: str
    add_special_tokens: bool = True
    """Whether special tokens work in it, and it begins with what prompts begin with."""


class TokenizeRequest:
    """A request for tokens.

    Args:
        raw: Its body.

    Raises:
        ErrorResponse: 422, the body is none of these.
    """

    def __init__(self, raw: bytes) -> None:
        body = parse_json(raw)
        fields: dict[str, Any] = dict(body) if isinstance(body, dict) else {}
        self.model = str(fields.pop("model", VOXTRAL))
        self._request: ChatRequest | InferenceRequest | TextRequest
        if "messages" in fields:
            self._request = validate(body, ChatRequest)
        elif "input" in fields:
            self._request = validate(fields, InferenceRequest)
        else:
            self._request = validate(fields if isinstance(body, dict) else body, TextRequest)

    def tokens(self, model: TextModel) -> list[int]:
        """Return the tokens, by the model that is loaded."""
        request = self._request
        if isinstance(request, TextRequest):
            return model.engine.tokenize(request.prompt, is_prompt=request.add_special_tokens)
        if isinstance(request, InferenceRequest):
            planned = plan_native(request, model.template)
        else:
            planned = plan_chat(
                request.conversation(),
                model.template,
                request.response_format,
                tool_choice=request.choice,
            )
        return model.engine.tokenize(planned.prompt, is_prompt=True)
