"""`ChatVoxtral`: messages in, `AIMessage` out."""

from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from typing import Any, Self

from langchain_core.callbacks import AsyncCallbackManagerForLLMRun, CallbackManagerForLLMRun
from langchain_core.language_models import (
    BaseChatModel,
    LangSmithParams,
    LanguageModelInput,
    ModelProfile,
)
from langchain_core.messages import AIMessage, BaseMessage
from langchain_core.messages.utils import count_tokens_approximately
from langchain_core.outputs import ChatGenerationChunk, ChatResult
from langchain_core.runnables import Runnable
from langchain_core.tools import BaseTool
from pydantic import BaseModel, PrivateAttr, model_validator

from langchain_voxtral._version import __version__
from langchain_voxtral.audio.pricing import audio_tokens
from langchain_voxtral.completions.audio_inputs import AudioCache, seconds_heard
from langchain_voxtral.completions.outputs import to_chat_chunk, to_chat_result
from langchain_voxtral.connection import MODEL_CONFIG
from langchain_voxtral.conversing import Conversing
from langchain_voxtral.endpoint import LOCAL_BASE_URL
from langchain_voxtral.messages import to_turn
from langchain_voxtral.profiles import LOCAL_MODEL, get_profile
from langchain_voxtral.providers import PROVIDERS
from langchain_voxtral.settings import canonical_names
from langchain_voxtral.structured_output import Method, bind_schema
from langchain_voxtral.tools.json_text import dumps
from langchain_voxtral.tools.schema import normalize_tool_choice, to_openai_tools
from langchain_voxtral.transport import ClientLease


class ChatVoxtral(Conversing, BaseChatModel):
    """Voxtral Mini as a LangChain chat model, on DeepInfra or a server of your own.

    A `HumanMessage` may hold recordings among its text: blocks that `audio_block` makes, or
    LangChain's and OpenAI's own. Such a conversation goes to chat completions, any other to
    DeepInfra's native text endpoint, unless `api` says otherwise. What recordings were converted
    to is kept with the model, 64 MB at most, since each turn sends those of all turns before.

    Every field below that `CallOptions` declares (`model`, `temperature`, `stop`, ...) may also
    be given to a single call.

    Args:
        prompt_format: How messages become the input string: `"llama3"`, the format that
            DeepInfra documents, `"mistral"`, the model's own, or a `PromptFormat`.
        streaming: Whether `invoke` streams inside, for callbacks that want tokens.
        system_with_audio: What to do with system text beside recordings, which the model does
            not take together: `"merge"` it into the user's text, or raise an `"error"`.
        allow_audio_urls: Whether recordings may be fetched from the web, by the URLs in messages:
            over http(s), from public addresses, within bounds of size and time, not by a proxy
            and not along redirects. Each call fetches them anew.

    Raises:
        pydantic.ValidationError: A field is unknown or has a wrong value.

    Example:
        ```python
        from langchain_voxtral import ChatVoxtral

        chat = ChatVoxtral(base_url="local")  # the embedded engine: no key needed
        for chunk in chat.stream("What is the capital of France?"):
            print(chunk.text, end="", flush=True)
        ```
    """

    model_config = MODEL_CONFIG

    streaming: bool | None = None
    """Whether `invoke` streams inside; False keeps even `stream` from it."""

    _lease: ClientLease = PrivateAttr(default_factory=ClientLease)
    _lost_key: bool = PrivateAttr(default=False)
    _clips: AudioCache = PrivateAttr(default_factory=AudioCache)

    @model_validator(mode="after")
    def _set_voxtral_version(self) -> Self:
        self._add_version("langchain-voxtral", __version__)
        return self

    # What LangChain asks about the model

    @property
    def _llm_type(self) -> str:
        return "voxtral-chat"

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

    def _resolve_model_profile(self) -> ModelProfile | None:
        profile = get_profile(LOCAL_MODEL if self.base_url == LOCAL_BASE_URL else self.model)
        return None if profile is None else ModelProfile(**profile)  # type: ignore[typeddict-item]

    def get_num_tokens_from_messages(
        self, messages: list[BaseMessage], tools: Sequence[Any] | None = None
    ) -> int:
        """Return how many tokens messages take, as `trim_messages(token_counter=chat)` asks.

        A recording takes 375 for each 30 seconds that it begins, and one more; that is exact.
        Texts are counted by `custom_get_token_ids`, with each message's role before it as
        LangChain does; without it they are estimated by `count_tokens_approximately`, which
        takes four characters for a token.

        Args:
            messages: The messages; they need not be a whole conversation.
            tools: Tools that are offered.

        Raises:
            VoxtralInvalidRequestError: A message that cannot be sent, or a recording that is a
                URL, whose length is not known before it is fetched.

        Example:
            ```python
            from langchain_core.messages import HumanMessage
            from langchain_voxtral import ChatVoxtral, audio_block
            from langchain_voxtral.audio.wav import wav_header

            second = audio_block(wav_header(32_000) + bytes(32_000))
            chat = ChatVoxtral(custom_get_token_ids=lambda text: [*text.encode()])
            tokens = chat.get_num_tokens_from_messages([HumanMessage(["Well?", second])])
            assert tokens == len("Human: Well?") + 376
            ```
        """
        turns = [to_turn(index, message) for index, message in enumerate(messages)]
        server = PROVIDERS[self.server]
        lengths = [length for turn in turns for length in seconds_heard(turn, server, self._clips)]
        heard = sum(map(audio_tokens, lengths))
        told = [
            message.model_copy(update={"content": turn.text, "name": None})
            for message, turn in zip(messages, turns, strict=True)
        ]
        offered = to_openai_tools(tools or ())
        if self.custom_get_token_ids is None:
            return heard + count_tokens_approximately(told, tools=[*offered])
        described = self.get_num_tokens(dumps(offered, what="the tools")) if offered else 0
        return heard + described + super().get_num_tokens_from_messages(told)

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
            parallel_tool_calls: Whether one answer may hold several calls. Not said, a call that
                must come is a single one. Where the model decides whether to call, nothing on
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
        method: Method = "function_calling",
        include_raw: bool = False,
        strict: bool | None = None,
        **kwargs: Any,
    ) -> Runnable[LanguageModelInput, dict[str, Any] | BaseModel]:
        """Return this model with answers of a given form, parsed.

        With every method the server constrains the answer to the schema.

        Args:
            schema: A pydantic class (its objects are the answers), or a TypedDict, a JSON schema
                or an OpenAI function (dicts are). None with `"json_mode"` alone: any object.
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
        return to_chat_result(self._all_rounds(self._rounds(messages, stop, kwargs)))

    async def _agenerate(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: AsyncCallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> ChatResult:
        return to_chat_result(await self._aall_rounds(await self._arounds(messages, stop, kwargs)))

    def _stream(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: CallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> Iterator[ChatGenerationChunk]:
        for item in self._items(self._rounds(messages, stop, kwargs)):
            chunk = to_chat_chunk(item)
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
        async for item in self._aitems(await self._arounds(messages, stop, kwargs)):
            chunk = to_chat_chunk(item)
            if run_manager is not None:
                await run_manager.on_llm_new_token(chunk.text, chunk=chunk)
            yield chunk
