"""One completion request: messages, settings and tools become the body for one endpoint."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any, Literal

from langchain_voxtral.completions.chat_body import (
    SystemWithAudio,
    chat_body,
    check_system_turns,
)
from langchain_voxtral.completions.tools import (
    ToolCallParsing,
    ToolOptions,
    check_form,
    describe_form,
    tool_constraint,
    tool_parsing,
)
from langchain_voxtral.errors import VoxtralInvalidRequestError, VoxtralUnsupportedFeatureError
from langchain_voxtral.messages import Turn
from langchain_voxtral.messages.mistral_order import arrange_for_mistral
from langchain_voxtral.prompts import (
    PromptFormat,
    SpecialTokens,
    adds_word_joiners,
    reject_special_tokens,
    render,
)
from langchain_voxtral.protocol.endpoints import CHAT_COMPLETIONS, NATIVE, TextEndpoint
from langchain_voxtral.providers import DEEPINFRA, Provider
from langchain_voxtral.settings import (
    SamplingSettings,
    request_fields,
    stop_sequences_for,
    without_response_format,
)

FEATURE_NOT_SUPPORTED = 405
"""DeepInfra's status for a feature that a model lacks."""


@dataclass(frozen=True, slots=True)
class CompletionRequest:
    """A request for completions, up to its address, and how its response is read.

    Args:
        endpoint: The endpoint that answers.
        model: The model.
        body: The body, without the fields that ask for a stream.
        provider: The kind of server that answers.
        provider_name: Its name in metadata.
        stop_sequences: Where the client cuts the text.
        end_markers: Those of them that the prompt format added. An answer may quote them if the
            prompt had them escaped; the others must not appear in what is shown.
        max_tokens: Most tokens asked for, if any.
        n: Completions asked for.
        logprobs: Whether log probabilities are wanted; they are read from streams only.
        unescape: Whether content was escaped, so that the escaping is undone in the answer.
        tool_parsing: How tool calls are read out of the text, if they are.
        has_audio: Whether there are recordings in the body.
        coalesce: Whether tokens that arrive in one read become one delta; with log probabilities
            each stays on its own.
        max_resumes: How often a stream that is cut may be resumed, if it can be.
        stream_usage: Whether a stream is asked to report usage.
        structured_output: `prompted` if the prompt asks for the form of the answer.
        prompted: Makes the same request with the form of the answer in the prompt, for a server
            that refuses to constrain it; None if words cannot describe the form.
    """

    endpoint: TextEndpoint
    model: str
    body: Mapping[str, Any] = field(repr=False)
    provider: Provider = field(default=DEEPINFRA, repr=False)
    provider_name: str = "deepinfra"
    stop_sequences: Sequence[str] = ()
    end_markers: Sequence[str] = ()
    max_tokens: int | None = None
    n: int = 1
    logprobs: bool = False
    unescape: bool = False
    tool_parsing: ToolCallParsing | None = None
    has_audio: bool = False
    coalesce: bool = True
    max_resumes: int = 0
    stream_usage: bool = True
    structured_output: str | None = None
    prompted: "Callable[[], CompletionRequest | None] | None" = field(default=None, repr=False)

    @property
    def raw_stops(self) -> Sequence[str]:
        """The stop sequences that are looked for in what the server sends."""
        # Calls are read out of it, and a stop sequence may stand in their syntax.
        is_raw = not self.unescape or self.tool_parsing is not None
        return self.stop_sequences if is_raw else self.end_markers

    @property
    def shown_stops(self) -> Sequence[str]:
        """The stop sequences that are looked for once escaping is undone."""
        return [stop for stop in self.stop_sequences if stop not in self.end_markers]

    @property
    def expects_json(self) -> bool:
        """Whether the answer should be JSON, by a constraint or because the prompt asks for it."""
        kind = self.body.get("response_format", {}).get("type")
        return kind in {"json_object", "json_schema"} or self.structured_output == "prompted"

    def stream_body(self) -> dict[str, Any]:
        """Return the body of a request for a stream.

        Raises:
            VoxtralInvalidRequestError: Several completions are asked for.
        """
        if self.n > 1:
            advice = (
                "Leave n or logprobs unset: only streams have log probabilities."
                if self.logprobs
                else "Use invoke() or generate(), or leave n unset."
            )
            raise VoxtralInvalidRequestError(
                f"n={self.n} cannot be streamed: the API streams one answer. {advice}"
            )
        logprobs_fields = self.endpoint.logprobs_fields if self.logprobs else {}
        body = {**self.body, **self.endpoint.stream_fields, **logprobs_fields}
        if not self.provider.takes_stream_options or not self.stream_usage:
            body.pop("stream_options", None)
        elif self.max_resumes and self.endpoint is CHAT_COMPLETIONS:
            # What was used before a cut is known only if it was reported all along.
            body["stream_options"] = {**body["stream_options"], **self.provider.usage_options}
        return body

    def after_refusal(self, error: VoxtralUnsupportedFeatureError) -> "CompletionRequest":
        """Return the request to send after a refusal, or raise the refusal if there is none."""
        is_unsupported = error.status_code == FEATURE_NOT_SUPPORTED
        prompted = self.prompted() if is_unsupported and self.prompted is not None else None
        if prompted is None:
            raise error
        return prompted


@dataclass(frozen=True, slots=True)
class RequestBuilder:
    """What a model's requests have in common.

    Args:
        provider: The kind of server.
        provider_name: Its name in metadata.
        prompt_format: The format of native prompts; None for raw prompts.
        special_tokens: What to do with special tokens in content.
        api: The endpoint that is asked, or `auto`.
        system_with_audio: What to do with system text beside recordings, if the server takes none.
        coalesce: As in `CompletionRequest`.
        max_resumes: As in `CompletionRequest`.
    """

    provider: Provider = DEEPINFRA
    provider_name: str = "deepinfra"
    prompt_format: PromptFormat | None = None
    special_tokens: SpecialTokens = "neutralize"
    api: Literal["auto", "native", "chat_completions"] = "auto"
    system_with_audio: SystemWithAudio = "merge"
    coalesce: bool = True
    max_resumes: int = 0

    def from_turns(
        self,
        turns: Sequence[Turn],
        settings: SamplingSettings,
        tools: ToolOptions,
        instruction: str = "",
    ) -> CompletionRequest:
        """Return the request for a conversation, to the endpoint that takes it.

        Args:
            turns: The conversation, its recordings loaded.
            settings: The settings of the call.
            tools: The tools of the call.
            instruction: The form of the answer in words, for a server that does not constrain it.

        Raises:
            VoxtralInvalidRequestError: The conversation, or a combination of tools and
                `response_format`, cannot be sent.
        """
        if tools.given_names:
            turns = tools.rename_calls(turns)
        has_audio = any(turn.audio for turn in turns)
        is_chat = has_audio or self.provider.paths["native"] is None
        if self.api == "chat_completions" or (self.api == "auto" and is_chat):
            request = self._chat_request(turns, settings, tools, instruction, has_audio=has_audio)
        else:
            request = self._native_request(turns, settings, tools, instruction)
        if instruction:
            return replace(request, structured_output="prompted")
        # If there are tools in the body, it may be these that the server refuses.
        is_constrained = "response_format" in request.body and "tools" not in request.body
        if not is_constrained or request.n > 1:
            return request
        return replace(request, prompted=partial(self._prompted, turns, settings, tools))

    def _prompted(
        self, turns: Sequence[Turn], settings: SamplingSettings, tools: ToolOptions
    ) -> CompletionRequest | None:
        """Return the request with the form of the answer in words, or None if there are none."""
        form = describe_form(settings, tools)
        return self.from_turns(turns, settings, tools, form) if form else None

    def from_prompt(
        self,
        prompt: str,
        settings: SamplingSettings,
        *,
        unescape: bool = False,
        response_format: Mapping[str, Any] | None = None,
        tool_parsing: ToolCallParsing | None = None,
    ) -> CompletionRequest:
        """Return the request for an input string.

        Args:
            prompt: The input string.
            settings: The settings of the call.
            unescape: Whether its content was escaped.
            response_format: What constrains the answer, in place of the settings' own.
            tool_parsing: How tool calls are read out of the answer, if they are.
        """
        to_send, stop_sequences = stop_sequences_for(settings, self.prompt_format)
        body: dict[str, Any] = {"input": prompt}
        if to_send is not None:
            body["stop"] = to_send
        body |= request_fields(settings, NATIVE)
        if response_format is not None:
            body["response_format"] = response_format
        return self._request(
            NATIVE,
            settings,
            body,
            stop_sequences=stop_sequences,
            end_markers=[stop for stop in stop_sequences if stop not in (settings.stop or ())],
            unescape=unescape,
            tool_parsing=tool_parsing,
        )

    def _native_request(
        self,
        turns: Sequence[Turn],
        settings: SamplingSettings,
        tools: ToolOptions,
        instruction: str,
    ) -> CompletionRequest:
        """Return a request with a prompt that this package writes, tools included."""
        if self.prompt_format is None:
            raise VoxtralInvalidRequestError("A raw prompt format has no place for messages.")
        if self.prompt_format.turn_order == "mistral":
            turns = arrange_for_mistral(turns)
        prompt = render(
            turns,
            self.prompt_format,
            special_tokens=self.special_tokens,
            tools=tools.visible,
            instruction=instruction,
        )
        constraint = tool_constraint(settings, tools, self.prompt_format.calls.arguments_key)
        parsing = tool_parsing(settings, tools, in_prompt=True)
        if instruction:
            settings, constraint = without_response_format(settings), None
        return self.from_prompt(
            prompt,
            settings,
            unescape=self.special_tokens == "neutralize" and adds_word_joiners(turns),
            response_format=constraint,
            tool_parsing=parsing,
        )

    def _chat_request(
        self,
        turns: Sequence[Turn],
        settings: SamplingSettings,
        tools: ToolOptions,
        instruction: str,
        *,
        has_audio: bool,
    ) -> CompletionRequest:
        """Return a request whose prompt the server writes; it escapes special tokens, too."""
        check_form(settings, tools)
        if self.special_tokens == "error":
            reject_special_tokens(turns, tools.tools, instruction)
        if has_audio:
            check_system_turns(turns, self.system_with_audio)
        return self._request(
            CHAT_COMPLETIONS,
            settings,
            chat_body(turns, settings, tools, self.provider, instruction),
            stop_sequences=settings.stop or (),
            tool_parsing=tool_parsing(settings, tools, in_prompt=False),
            has_audio=has_audio,
        )

    def _request(
        self,
        endpoint: TextEndpoint,
        settings: SamplingSettings,
        body: Mapping[str, Any],
        **reading: Any,
    ) -> CompletionRequest:
        return CompletionRequest(
            endpoint=endpoint,
            model=settings.model,
            body=body,
            provider=self.provider,
            provider_name=self.provider_name,
            max_tokens=settings.max_tokens,
            n=settings.n or 1,
            logprobs=bool(settings.logprobs),
            coalesce=self.coalesce,
            max_resumes=self.max_resumes,
            stream_usage=settings.stream_usage is not False,
            **reading,
        )
