"""`VoxtralLLM`: string in, string out."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import aclosing
from contextvars import copy_context
from dataclasses import replace
from typing import Any, Literal, Self

from langchain_core.callbacks import AsyncCallbackManagerForLLMRun, CallbackManagerForLLMRun
from langchain_core.language_models import BaseLLM, LanguageModelInput
from langchain_core.outputs import GenerationChunk, LLMResult
from langchain_core.prompt_values import ChatPromptValue, PromptValue
from pydantic import Field, model_validator

from langchain_voxtral.completions.chunks import to_llm_chunk
from langchain_voxtral.completions.outputs import to_llm_result
from langchain_voxtral.completions.request import CompletionRequest
from langchain_voxtral.completions.response import Completion
from langchain_voxtral.completions.tools import ToolOptions
from langchain_voxtral.connection import MODEL_CONFIG
from langchain_voxtral.language_model import LanguageModel
from langchain_voxtral.messages import Turn
from langchain_voxtral.messages.content import with_plain_text
from langchain_voxtral.prompts import PromptFormat, PromptFormatName
from langchain_voxtral.providers import PROVIDERS
from langchain_voxtral.settings import (
    SamplingSettings,
    merge_settings,
)
from langchain_voxtral.transport import running_loop, to_thread

MAX_CONCURRENT_PROMPTS = 32
"""Prompts of one batch in flight at once; DeepInfra allows an account 200 requests."""


class VoxtralLLM(LanguageModel, BaseLLM):
    """Voxtral Mini as a LangChain LLM, on DeepInfra's native text endpoint.

    Setup:
        Set DeepInfra's key in the environment, or use the embedded engine without one:

        ```bash
        pip install "langchain-voxtral[local]"
        export DEEPINFRA_API_TOKEN="your-key"
        ```

    Key init args, completion (each call may override them):
        model: Name of the model at the server; also `NAME:VERSION`.
        temperature: Randomness; 0 is greedy.
        top_p, top_k, min_p: Which tokens are drawn from.
        max_tokens: Most tokens to generate.
        stop: Where to end the answer.
        repetition_penalty, presence_penalty, frequency_penalty: Against repeated tokens.
        seed: For repeatable answers, as far as the server can.
        response_format: What the text must look like.
        n: Answers for each prompt.
        logprobs: Whether to keep the tokens' log probabilities.
        user, prompt_cache_key: Ids for the provider.
        model_kwargs: More fields for the request body.

    Key init args, client:
        api_key: Key of the server; else the environment's.
        base_url: Address of the server; `"local"` is the embedded engine.
        server, api: Kind of server and endpoint; an LLM needs the native endpoint.
        timeout, stream_idle_timeout, deadline: Time limits in seconds.
        max_retries, retry_timeouts: Attempts beyond the first, and whether after timeouts.
        max_stream_resumes: How often a stream that is cut is resumed.
        default_headers, proxy, http_client, http_async_client: For HTTP.
        pickle_api_key: Whether a pickle holds the key.

    Key init args, prompts:
        prompt_format: How a string becomes the input string.
        special_tokens: What to do with special tokens in content.
        check_context: Whether a prompt is refused that the model's context cannot hold.
        chunk_coalescing: Whether tokens that arrive together form one chunk.

    The prompts of a batch are sent concurrently. Usage, cost and the rest of the metadata are in
    each generation's `generation_info`, the sums in `llm_output`.

    Raises:
        pydantic.ValidationError: A field is unknown or has a wrong value.

    Example:
        ```python
        from langchain_voxtral import VoxtralLLM

        llm = VoxtralLLM(base_url="local", stop=["."])
        print(llm.invoke("What is the largest ocean?"))
        ```
    """

    model_config = MODEL_CONFIG

    prompt_format: PromptFormatName | Literal["raw"] | PromptFormat = Field(
        default="llama3",
        description='How a string becomes the input string: `"llama3"` and `"mistral"` wrap it as '
        'one user turn, `"raw"` sends it as it is, special tokens included; or a `PromptFormat` '
        "of your own.",
    )

    @model_validator(mode="after")
    def _check_endpoint(self) -> Self:
        if self.api == "chat_completions":
            raise ValueError(
                "api='chat_completions' takes messages, and an LLM sends a raw prompt: use "
                "ChatVoxtral, or leave api='auto'"
            )
        if PROVIDERS[self.server].paths["native"] is None:
            raise ValueError(
                f"server={self.server!r} takes messages, and an LLM sends a raw prompt to the "
                "native endpoint, which it has not: use ChatVoxtral"
            )
        return self

    # What LangChain asks about the model

    @property
    def _llm_type(self) -> str:
        return "voxtral"

    # Calls

    def _convert_input(self, model_input: LanguageModelInput) -> PromptValue:
        value = super()._convert_input(model_input)
        if not isinstance(value, ChatPromptValue):
            return value
        # LangChain makes a string of messages, and passes over most blocks.
        messages = [with_plain_text(*numbered) for numbered in enumerate(value.messages)]
        return ChatPromptValue(messages=messages)

    def _generate(
        self,
        prompts: list[str],
        stop: list[str] | None = None,
        run_manager: CallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> LLMResult:
        settings = merge_settings(self, stop, kwargs)

        def complete(prompt: str) -> list[Completion]:
            return self._client.complete(self._request(prompt, settings))

        if len(prompts) == 1:
            return to_llm_result([complete(prompts[0])])
        pool = ThreadPoolExecutor(min(len(prompts), MAX_CONCURRENT_PROMPTS) or 1)
        try:
            # Each in a copy of this context, so that tracing in the threads knows its parent.
            futures = [pool.submit(copy_context().run, complete, prompt) for prompt in prompts]
            for future in as_completed(futures):
                future.result()  # the first failure ends the batch
            return to_llm_result([future.result() for future in futures])
        finally:
            pool.shutdown(wait=False, cancel_futures=True)

    async def _agenerate(
        self,
        prompts: list[str],
        stop: list[str] | None = None,
        run_manager: AsyncCallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> LLMResult:
        settings = merge_settings(self, stop, kwargs)
        running_loop()
        semaphore = asyncio.Semaphore(MAX_CONCURRENT_PROMPTS)

        async def complete(prompt: str) -> list[Completion]:
            async with semaphore:
                return await self._client.acomplete(await self._arequest(prompt, settings))

        tasks = [asyncio.ensure_future(complete(prompt)) for prompt in prompts]
        try:
            return to_llm_result(await asyncio.gather(*tasks))
        except BaseException:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            raise

    def _stream(
        self,
        prompt: str,
        stop: list[str] | None = None,
        run_manager: CallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> Iterator[GenerationChunk]:
        settings = merge_settings(self, stop, kwargs)
        for items in self._client.stream(self._request(prompt, settings)):
            for chunk in map(to_llm_chunk, items):
                if run_manager is not None:
                    run_manager.on_llm_new_token(chunk.text, chunk=chunk)
                yield chunk

    async def _astream(
        self,
        prompt: str,
        stop: list[str] | None = None,
        run_manager: AsyncCallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> AsyncIterator[GenerationChunk]:
        request = await self._arequest(prompt, merge_settings(self, stop, kwargs))
        async with aclosing(self._client.astream(request)) as reads:
            async for items in reads:
                for chunk in map(to_llm_chunk, items):
                    if run_manager is not None:
                        await run_manager.on_llm_new_token(chunk.text, chunk=chunk)
                    yield chunk

    def _request(self, prompt: str, settings: SamplingSettings) -> CompletionRequest:
        turns = [Turn("user", prompt)]
        if check := self._context_check(turns, settings.model, is_raw=self.prompt_format == "raw"):
            check()
        return self._checked_request(turns, settings)

    async def _arequest(self, prompt: str, settings: SamplingSettings) -> CompletionRequest:
        turns = [Turn("user", prompt)]
        if check := self._context_check(turns, settings.model, is_raw=self.prompt_format == "raw"):
            await to_thread(check)
        return self._checked_request(turns, settings)

    def _checked_request(self, turns: list[Turn], settings: SamplingSettings) -> CompletionRequest:
        builder = self._request_builder()
        if self.prompt_format == "raw":
            return builder.from_prompt(turns[0].text, settings)
        request = builder.from_turns(turns, settings, ToolOptions())
        # Without the fallback to a prompt: a string cannot show that nothing constrains it.
        return replace(request, prompted=None)
