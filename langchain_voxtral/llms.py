"""`VoxtralLLM`: string in, string out."""

import asyncio
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextvars import copy_context
from functools import reduce
from typing import Any, Literal, Self, cast

from langchain_core.callbacks import AsyncCallbackManagerForLLMRun, CallbackManagerForLLMRun
from langchain_core.language_models import BaseLLM, LangSmithParams, LanguageModelInput
from langchain_core.messages import AIMessage, AIMessageChunk
from langchain_core.messages.ai import add_usage
from langchain_core.outputs import (
    ChatGeneration,
    ChatGenerationChunk,
    GenerationChunk,
    LLMResult,
)
from langchain_core.prompt_values import PromptValue
from pydantic import PrivateAttr, model_validator

from langchain_voxtral._version import __version__
from langchain_voxtral.base import VoxtralBase
from langchain_voxtral.completions.outputs import generation_info, response_metadata, usage_metadata
from langchain_voxtral.completions.request import Plan, prompt_plan
from langchain_voxtral.completions.response import Completion, StreamItem, TextDelta
from langchain_voxtral.connection import MODEL_CONFIG
from langchain_voxtral.errors import VoxtralInvalidRequestError
from langchain_voxtral.messages import Turn
from langchain_voxtral.messages.audio_blocks import is_audio_block
from langchain_voxtral.prompts import PromptFormat, get_format, has_special_tokens, render
from langchain_voxtral.protocol.responses import ResponseInfo
from langchain_voxtral.providers import PROVIDERS
from langchain_voxtral.settings import SamplingSettings, canonical_names
from langchain_voxtral.transport import ClientLease

MOST_AT_ONCE = 32
"""Prompts of one batch in flight at once; DeepInfra allows an account 200 requests."""

Answers = list[Completion]


class VoxtralLLM(VoxtralBase, BaseLLM):
    """Voxtral Mini as a LangChain LLM, on DeepInfra's native text endpoint.

    The prompts of a batch go out concurrently. Usage, cost and the rest of the metadata stand
    in each generation's `generation_info`, the sums in `llm_output`.

    Args:
        prompt_format: `"llama3"` or `"mistral"` wrap the string as one user turn; `"raw"` sends
            it as it is, special tokens included.

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

    prompt_format: Literal["llama3", "mistral", "raw"] | PromptFormat = "llama3"
    """How a string becomes the input string."""
    _lease: ClientLease = PrivateAttr(default_factory=ClientLease)
    _lost_key: bool = PrivateAttr(default=False)

    @model_validator(mode="after")
    def _set_voxtral_version(self) -> Self:
        self._add_version("langchain-voxtral", __version__)
        return self

    @model_validator(mode="after")
    def _refuse_chat_completions(self) -> Self:
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

    @property
    def _identifying_params(self) -> Mapping[str, Any]:
        return self._parameters() | {"prompt_format": str(self.prompt_format)}

    def _get_ls_params(self, stop: list[str] | None = None, **kwargs: Any) -> LangSmithParams:
        given = canonical_names({"stop": stop} | kwargs)
        params = super()._get_ls_params(**given)
        params["ls_provider"] = self._provider
        if given["stop"] is None and self.stop:
            params["ls_stop"] = self.stop
        return params

    # Calls

    def _convert_input(self, model_input: LanguageModelInput) -> PromptValue:
        value = super()._convert_input(model_input)
        for index, message in enumerate(getattr(value, "messages", ())):
            # LangChain makes a string of messages, and passes over what is none.
            blocks = message.content if isinstance(message.content, list) else ()
            if any(isinstance(block, dict) and is_audio_block(block) for block in blocks):
                raise VoxtralInvalidRequestError(
                    f"messages[{index}] ({message.type}): there is a recording, and an LLM sends a "
                    "string: use ChatVoxtral, or have VoxtralTranscriber make text of it before."
                )
        return value

    def _generate(
        self,
        prompts: list[str],
        stop: list[str] | None = None,
        run_manager: CallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> LLMResult:
        options = self._call_options(stop, kwargs)

        def ask(prompt: str) -> Answers:
            return self._answer(self._plan(prompt, options))

        if len(prompts) == 1:
            return _result([ask(prompts[0])])
        pool = ThreadPoolExecutor(min(len(prompts), MOST_AT_ONCE) or 1)
        try:
            # Each in a copy of this context, so that tracing in the threads knows its parent.
            waiting = [pool.submit(copy_context().run, ask, prompt) for prompt in prompts]
            for future in as_completed(waiting):
                future.result()  # the first failure ends the batch
            return _result([future.result() for future in waiting])
        finally:
            pool.shutdown(wait=False, cancel_futures=True)

    async def _agenerate(
        self,
        prompts: list[str],
        stop: list[str] | None = None,
        run_manager: AsyncCallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> LLMResult:
        options = self._call_options(stop, kwargs)
        at_once = asyncio.Semaphore(MOST_AT_ONCE)

        async def ask(prompt: str) -> Answers:
            async with at_once:
                return await self._aanswer(self._plan(prompt, options))

        tasks = [asyncio.ensure_future(ask(prompt)) for prompt in prompts]
        try:
            return _result(await asyncio.gather(*tasks))
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
        options = self._call_options(stop, kwargs)
        for item in self._pieces(self._plan(prompt, options)):
            chunk = _chunk(item)
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
        options = self._call_options(stop, kwargs)
        async for item in self._apieces(self._plan(prompt, options)):
            chunk = _chunk(item)
            if run_manager is not None:
                await run_manager.on_llm_new_token(chunk.text, chunk=chunk)
            yield chunk

    def _format(self) -> PromptFormat | None:
        return None if self.prompt_format == "raw" else get_format(self.prompt_format)

    def _plan(self, prompt: str, options: SamplingSettings) -> Plan:
        chosen = self._format()
        if chosen is None:
            return prompt_plan(prompt, None, options, restores=False)
        turns = [Turn("user", prompt)]
        is_escaped = self.special_tokens == "neutralize" and has_special_tokens(turns)
        prompt = render(turns, chosen, special_tokens=self.special_tokens)
        return prompt_plan(prompt, chosen, options, restores=is_escaped)


def _info(outcome: ResponseInfo) -> dict[str, Any]:
    usage = usage_metadata(outcome)
    return response_metadata(outcome) | ({"usage_metadata": dict(usage)} if usage else {})


def _result(answers: Sequence[Answers]) -> LLMResult:
    outcomes = [said.info for answer in answers for said in answer]
    usages = [usage for outcome in outcomes if (usage := usage_metadata(outcome))]
    output: dict[str, Any] = {"model_name": outcomes[0].model} if outcomes else {}
    if usages:
        output["token_usage"] = reduce(add_usage, usages, None)
    costs = [outcome.usage.cost for outcome in outcomes if outcome.usage.cost is not None]
    if costs:
        output["cost"] = sum(costs)
    return LLMResult(
        generations=[[_generation(said) for said in answer] for answer in answers],
        llm_output=output,
    )


def _generation(said: Completion) -> ChatGeneration:
    """Make a generation with a message in it: LangChain's tracers read usage from nowhere else."""
    message = AIMessage(
        content=said.text,
        usage_metadata=usage_metadata(said.info),
        response_metadata=response_metadata(said.info),
    )
    return ChatGeneration(message=message, generation_info=_info(said.info))


class _LastChunk(GenerationChunk):
    """The chunk with the metadata; added to the text before it, it makes a chat generation.

    LangChain adds up the chunks of a stream and hands the sum to the tracers, which read usage
    from messages only.
    """

    message: AIMessageChunk

    def __radd__(self, before: GenerationChunk) -> ChatGenerationChunk:  # type: ignore[misc]  # on purpose, see above
        whole = before + GenerationChunk(text=self.text, generation_info=self.generation_info)
        message = self.message.model_copy(update={"content": whole.text})
        return ChatGenerationChunk(message=message, generation_info=whole.generation_info)


def _chunk(item: StreamItem) -> GenerationChunk:
    if isinstance(item, TextDelta):
        return GenerationChunk(text=item.text, generation_info=generation_info(item))
    outcome = cast("ResponseInfo", item)  # a string offers no tools, so there are no calls
    message = AIMessageChunk(
        content="",
        usage_metadata=usage_metadata(outcome),
        response_metadata=response_metadata(outcome),
        chunk_position="last",
    )
    return _LastChunk(text="", generation_info=_info(outcome), message=message)
