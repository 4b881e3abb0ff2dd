"""What `ChatVoxtral` and `VoxtralLLM` share: a prompt goes in, texts and outcomes come out."""

from collections.abc import AsyncGenerator, Generator
from contextlib import aclosing
from dataclasses import asdict
from itertools import chain
from typing import Any, Literal

from pydantic import model_validator

from langchain_voxtral.completions.request import Plan
from langchain_voxtral.completions.response import Call, Completion, StreamItem, parse_completions
from langchain_voxtral.completions.stream import CompletionStream
from langchain_voxtral.connection import ConnectionSettings
from langchain_voxtral.endpoint import DEEPINFRA_KEYS, OTHER_KEY, ServerAddress, is_deepinfra
from langchain_voxtral.errors import VoxtralInvalidRequestError, VoxtralUnsupportedFeatureError
from langchain_voxtral.prompts import PromptFormat
from langchain_voxtral.protocol.json_body import encode_request
from langchain_voxtral.settings import OTHER_SPELLINGS, SamplingSettings, unknown_option
from langchain_voxtral.transport import HTTPRequest, apost, astream, post, stream


class VoxtralBase(ConnectionSettings, SamplingSettings):
    """Fields and behaviour that both faces share. Not for direct use."""

    special_tokens: Literal["neutralize", "error", "allow"] = "neutralize"
    """What to do with special tokens in content: break them, refuse them, or let them work."""
    chunk_coalescing: bool = True
    """Whether tokens that arrive together may leave as one chunk; none ever waits for another."""

    @model_validator(mode="before")
    @classmethod
    def _name_unknown_fields(cls, values: Any) -> Any:
        if isinstance(values, dict):
            known = set(cls.model_fields) | OTHER_SPELLINGS.keys()
            for name in values.keys() - known:
                raise ValueError(unknown_option(str(name), sorted(known)))
        return values

    def _call_options(self, stop: list[str] | None, given: dict[str, Any]) -> SamplingSettings:
        """Return the options of one call; `stream` among them is LangChain's own."""
        given = {name: value for name, value in given.items() if name != "stream"}
        if stop is not None:
            given["stop"] = stop
        return self.with_call(given, fixed=type(self).model_fields)

    def get_token_ids(self, text: str) -> list[int]:
        """Return token ids by `custom_get_token_ids`; there is no tokenizer in this package.

        Raises:
            VoxtralUnsupportedFeatureError: None was given. LangChain would count with GPT-2's.
        """
        count = getattr(self, "custom_get_token_ids", None)  # LangChain's field, in both faces
        if count is None:
            raise VoxtralUnsupportedFeatureError(
                "This version cannot count tokens. Give custom_get_token_ids=, or have a chat's "
                "get_num_tokens_from_messages estimate them."
            )
        return list(count(text))

    def _answer(self, plan: Plan) -> list[Completion]:
        endpoint = self._endpoint()
        if plan.options.logprobs:  # they are read from streams only
            sink = CompletionStream(self._call(endpoint, plan, streaming=True))
            reads = stream(self._clients(endpoint), sink.request, sink)
            return [sink.said(chain.from_iterable(reads))]
        call = self._call(endpoint, plan)
        return parse_completions(call, post(self._clients(endpoint), call.request))

    async def _aanswer(self, plan: Plan) -> list[Completion]:
        endpoint = await self._aendpoint()
        if plan.options.logprobs:
            sink = CompletionStream(self._call(endpoint, plan, streaming=True))
            reads = astream(self._clients(endpoint), sink.request, sink)
            return [sink.said([item async for items in reads for item in items])]
        call = self._call(endpoint, plan)
        return parse_completions(call, await apost(self._clients(endpoint), call.request))

    def _pieces(self, plan: Plan) -> Generator[StreamItem]:
        endpoint = self._endpoint()
        sink = CompletionStream(self._call(endpoint, plan, streaming=True))
        for items in stream(self._clients(endpoint), sink.request, sink):
            yield from items

    async def _apieces(self, plan: Plan) -> AsyncGenerator[StreamItem]:
        endpoint = await self._aendpoint()
        sink = CompletionStream(self._call(endpoint, plan, streaming=True))
        async with aclosing(astream(self._clients(endpoint), sink.request, sink)) as reads:
            async for items in reads:
                for item in items:
                    yield item

    def _call(self, endpoint: ServerAddress, plan: Plan, *, streaming: bool = False) -> Call:
        """Make the request of a plan, and the notes by which its answer is read."""
        options, api, body = plan.options, plan.api, plan.body
        count = options.n or 1
        if streaming and count > 1:
            raise VoxtralInvalidRequestError(
                f"n={count} cannot be streamed (nor had with logprobs, which only a stream tells): "
                "the API streams one answer. Use invoke() or generate(), or leave n unset."
            )
        if streaming:
            body = {**body, **api.stream_fields}
            if options.logprobs:
                body |= api.logprobs_fields
        request = HTTPRequest(
            url=endpoint.url(api.route, options.model),
            content=encode_request(body),
            headers=self._headers(endpoint, streaming=streaming),
            secrets=self._secrets(endpoint),
            model=options.model,
            timeouts=self._limits(streaming=streaming),
            retry=self._retry_policy(),
            has_audio=plan.carries_audio,
        )
        return Call(
            request=request,
            model=options.model,
            provider=endpoint.provider,
            stops=plan.stops,
            max_tokens=options.max_tokens,
            n=count,
            restores=plan.restores,
            coalesces=self.chunk_coalescing,
            logprobs=bool(options.logprobs),
            body=body,
            resumes=self.max_stream_resumes if plan.resumable else 0,
            api=api,
            calls=plan.calls,
        )

    @property
    def lc_secrets(self) -> dict[str, str]:
        """Name the environment variable that a loaded copy takes its key from."""
        # A loaded copy must not send DeepInfra's key elsewhere either.
        return {"api_key": DEEPINFRA_KEYS[0] if is_deepinfra(self.base_url) else OTHER_KEY}

    @property
    def lc_attributes(self) -> dict[str, Any]:
        """Write a prompt format of the user's own as its table: loads need it, and cache keys."""
        chosen = vars(self).get("prompt_format")
        return {"prompt_format": asdict(chosen)} if isinstance(chosen, PromptFormat) else {}

    @classmethod
    def is_lc_serializable(cls) -> bool:
        """Tell LangChain that `dumpd` may write this as a constructor call."""
        return True

    def _parameters(self) -> dict[str, Any]:
        """Return what tells two of these apart, without secrets: for caches and traces."""
        names = [*SamplingSettings.model_fields, "base_url", "server", "api", "special_tokens"]
        # LangChain writes a call's stop, None too, over "stop": ours needs a name of its own.
        return {name: getattr(self, name) for name in names} | {"default_stop": self.stop}
