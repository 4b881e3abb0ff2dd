"""`VoxtralLLM`: string in, string out."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import aclosing
from contextvars import copy_context
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Literal, Self

from langchain_core.callbacks import AsyncCallbackManagerForLLMRun, CallbackManagerForLLMRun
from langchain_core.language_models import BaseLLM, LanguageModelInput
from langchain_core.outputs import GenerationChunk, LLMResult
from langchain_core.prompt_values import ChatPromptValue, PromptValue
from pydantic import Field, model_validator

from langchain_voxtral.completions.cached import mark_cached, note_fresh, noting_fresh_answers
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
    """Voxtral Mini as a LangChain LLM, on DeepInfra's native text endpoint: text in, text out.

    Setup:
        Install the package, and set DeepInfra's key in the environment. The embedded engine,
        `base_url="local"`, needs the extra `local` and no key.

        ```bash
        pip install "langchain-voxtral[local]"
        export DEEPINFRA_API_TOKEN="your-key"
        ```

    Key init args - completion params:
        Each call may override them: `llm.invoke("Hello!", temperature=0)`.

        - `model` (`str`, Voxtral Mini): Name of the model at the server.
        - `temperature` (`float | None`, 0.2): Randomness; 0 is greedy.
        - `max_tokens` (`int | None`, None): Maximum number of tokens to generate.
        - `stop` (`str | list[str] | None`, None): Strings that end the answer.

    Key init args - client params:
        - `api_key` (`str | SecretStr | None`, from the environment): Key of the server.
        - `base_url` (`str`, DeepInfra's): Address of the server; `"local"` is the embedded engine.
        - `timeout` (`float | tuple | None`, 300): Seconds without a byte, or (connect, read).
        - `max_retries` (`int`, 2): Number of retries.
        - `prompt_format` (`str | PromptFormat`, `"llama3"`): How a string becomes the prompt;
          `"raw"` sends it as it is.

    The signature lists all arguments with types and defaults, and
    `VoxtralLLM.model_fields["timeout"].description` describes one. The examples below use the `llm`
    of the first one. The prompts of a batch are sent concurrently. Each generation has usage, cost
    and other metadata in `generation_info`; the sums are in `llm_output`.

    Instantiate:
        ```python
        from langchain_voxtral import VoxtralLLM

        llm = VoxtralLLM(base_url="local", temperature=0, max_tokens=40)  # no key needed
        ```

    Invoke:
        ```python
        print(llm.invoke("What is the largest ocean?", stop=["."]))
        ```

    Stream:
        ```python
        for text in llm.stream("Name three colours."):
            print(text, end="", flush=True)
        ```

    Async:
        ```python
        import asyncio

        async def ask() -> str:
            async with llm:  # closes the connections of this event loop
                return await llm.ainvoke("Name three colours.")

        print(asyncio.run(ask()))
        ```

    Token usage:
        ```python
        print(llm.generate(["Name three colours."]).llm_output)
        ```

    Raises:
        pydantic.ValidationError: A field is unknown or has a wrong value.
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

    if not TYPE_CHECKING:  # where the signatures are LangChain's

        def generate(self, *args: Any, **kwargs: Any) -> LLMResult:
            """Do what LangChain does; what comes from its cache costs 0."""
            with noting_fresh_answers() as fresh:
                return mark_cached(super().generate(*args, **kwargs), fresh)

        async def agenerate(self, *args: Any, **kwargs: Any) -> LLMResult:
            """Do the same."""
            with noting_fresh_answers() as fresh:
                return mark_cached(await super().agenerate(*args, **kwargs), fresh)

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
            return note_fresh(to_llm_result([complete(prompts[0])]))
        pool = ThreadPoolExecutor(min(len(prompts), MAX_CONCURRENT_PROMPTS) or 1)
        try:
            # Each in a copy of this context, so that tracing in the threads knows its parent.
            futures = [pool.submit(copy_context().run, complete, prompt) for prompt in prompts]
            for future in as_completed(futures):
                future.result()  # the first failure ends the batch
            return note_fresh(to_llm_result([future.result() for future in futures]))
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
            return note_fresh(to_llm_result(await asyncio.gather(*tasks)))
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
