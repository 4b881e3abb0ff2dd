"""`LanguageModel`: what `ChatVoxtral` and `VoxtralLLM` have in common."""

from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from dataclasses import asdict
from functools import partial
from math import ceil
from typing import TYPE_CHECKING, Any, Literal, Self

from langchain_core.callbacks import (
    AsyncCallbackManager,
    BaseCallbackHandler,
    BaseCallbackManager,
    CallbackManager,
)
from langchain_core.language_models import BaseLanguageModel, LangSmithParams
from langchain_core.outputs import LLMResult
from langchain_core.runnables import RunnableConfig, ensure_config
from pydantic import Field, model_validator

from langchain_voxtral._version import __version__
from langchain_voxtral.client import VoxtralClient
from langchain_voxtral.completions.chat_body import SystemWithAudio
from langchain_voxtral.completions.connection import CompletionConnection
from langchain_voxtral.completions.request import RequestBuilder
from langchain_voxtral.connection import PART_CONFIG
from langchain_voxtral.errors import VoxtralInvalidRequestError
from langchain_voxtral.messages.turns import Turn, max_tokens
from langchain_voxtral.option_names import (
    FIELD_ALIASES,
    KEY_NAMES,
    constructor_option_message,
    reject_unknown_names,
    wrong_call_message,
)
from langchain_voxtral.profiles import get_profile
from langchain_voxtral.prompts import PromptFormat, PromptFormatName, SpecialTokens, get_format
from langchain_voxtral.providers import (
    LOCAL_BASE_URL,
    PROVIDERS,
    EnvironmentKey,
    key_variables,
    provider_name,
)
from langchain_voxtral.settings import SERVER_FIELDS_ADVICE, SamplingSettings
from langchain_voxtral.tokens import vocabulary
from langchain_voxtral.tools.json_text import max_json_tokens
from langchain_voxtral.transport import on_asyncio, running_loop
from langchain_voxtral.usage.entry import enter_call, release

Callbacks = list[BaseCallbackHandler] | BaseCallbackManager | None
ManagerClass = type[CallbackManager] | type[AsyncCallbackManager]

CHARACTERS_PER_TOKEN = 4
"""An estimate: LangChain's own, in `count_tokens_approximately`."""

Tools = Sequence[Mapping[str, object]]
"""Tools in OpenAI's form."""


class LanguageModel(CompletionConnection, SamplingSettings, BaseLanguageModel[Any]):
    """A model of LangChain with the settings of this package, and what LangChain asks about it."""

    model_config = PART_CONFIG

    prompt_format: PromptFormatName | Literal["raw"] | PromptFormat = Field(
        default="llama3", description="How messages or a string become the input string."
    )
    special_tokens: SpecialTokens = Field(
        default="neutralize",
        description='Special tokens in content are escaped (`"neutralize"`), rejected (`"error"`), '
        'or take effect (`"allow"`).',
    )
    chunk_coalescing: bool = Field(
        default=True,
        description="Whether tokens that arrive together form one chunk; no token waits for "
        "another.",
    )
    check_context: bool = Field(
        default=True,
        description="Whether a prompt that does not fit the model's context raises an error before "
        "it is sent. Needs the extra `tokens` and a profile with the size of the "
        "context.",
    )

    @model_validator(mode="before")
    @classmethod
    def _reject_unknown_fields(cls, values: Any) -> Any:
        reject_unknown_names(cls.model_fields, values, SERVER_FIELDS_ADVICE)
        return values

    @model_validator(mode="after")
    def _set_package_version(self) -> Self:
        self._add_version("langchain-voxtral", __version__)
        return self

    @property
    def model_name(self) -> str:
        """The name of the model: `model`, under the name that other LangChain classes use."""
        return self.model

    @property
    def _identifying_params(self) -> Mapping[str, Any]:
        """What tells two models apart, without secrets: for caches and traces."""
        names = [*SamplingSettings.model_fields, "base_url", "server", "api", "special_tokens"]
        return {name: getattr(self, name) for name in names} | {
            # LangChain writes a call's stop, None too, over "stop".
            "default_stop": self.stop,
            "prompt_format": str(self.prompt_format),
        }

    def _get_ls_params(self, stop: list[str] | None = None, **kwargs: Any) -> LangSmithParams:
        given = {FIELD_ALIASES.get(name, name): value for name, value in kwargs.items()}
        stop = given.pop("stop", stop)
        params = super()._get_ls_params(stop, **given)
        params["ls_provider"] = provider_name(self.base_url, self.server)
        if stop is None and self.stop:
            params["ls_stop"] = self.stop
        for name in ("temperature", "max_tokens"):
            if name in given and given[name] is None:  # the call leaves it to the server
                params.pop(f"ls_{name}", None)  # type: ignore[misc]  # a key of the TypedDict
        return params

    def get_token_ids(self, text: str) -> list[int]:
        """Return the token ids of a text, by the model's vocabulary (Tekken).

        Special tokens in the text are text like any other. `custom_get_token_ids` goes first. With
        `base_url="local"` they are those of the embedded engine's own model, which is asked.

        Args:
            text: A text, without the tokens that a prompt has around it.

        Raises:
            VoxtralMissingExtraError: The `tokens` extra is not installed.

        Example:
            ```python
            from langchain_voxtral import VoxtralLLM

            llm = VoxtralLLM(api_key="any")  # nothing is sent
            assert llm.get_token_ids("Hello!") == [22177, 1033]
            ```
        """
        if self.custom_get_token_ids is not None:
            return list(self.custom_get_token_ids(text))
        if self.base_url == LOCAL_BASE_URL:
            from langchain_voxtral.tokens.engine import ask_engine  # noqa: PLC0415 - few count

            body = {"prompt": text, "add_special_tokens": False}
            return ask_engine(self._client, body, self.model)
        return vocabulary.encode(text)

    def get_num_tokens(self, text: str) -> int:
        """Return how many tokens a text has, as text splitters and chains for summaries ask.

        They are counted as `get_token_ids` lists them. Where it cannot, without the `tokens` extra,
        they are estimated as those of messages are: four characters a token.

        Args:
            text: A text, without the tokens that a prompt has around it.

        Example:
            ```python
            from langchain_voxtral import VoxtralLLM

            llm = VoxtralLLM(api_key="any")  # nothing is sent
            assert llm.get_num_tokens("Hello!") == 2
            ```
        """
        is_asked = self.custom_get_token_ids is not None or self.base_url == LOCAL_BASE_URL
        if is_asked or vocabulary.is_installed():
            return super().get_num_tokens(text)
        return ceil(len(text) / CHARACTERS_PER_TOKEN)

    @property
    def lc_attributes(self) -> dict[str, Any]:
        """Write a prompt format of the user's own as its table: loads need it, and cache keys."""
        chosen = self.prompt_format
        return {"prompt_format": asdict(chosen)} if isinstance(chosen, PromptFormat) else {}

    @classmethod
    def is_lc_serializable(cls) -> bool:
        """Tell LangChain that `dumpd` may write this as a constructor call."""
        return True

    @property
    def lc_secrets(self) -> dict[str, str]:
        """Name the environment variable that a loaded copy takes its key from."""
        # A loaded copy must not send a provider's key to another server either.
        return {"api_key": key_variables(self.base_url)[0]}

    def to_json(self) -> Any:
        """Leave a key of the environment out of dumps: where they are loaded, there is another."""
        written = super().to_json()
        if isinstance(self.api_key, EnvironmentKey) and written["type"] == "constructor":
            written["kwargs"].pop("api_key", None)
        return written

    @property
    def _client(self) -> VoxtralClient:
        return VoxtralClient(self)

    def _context_check(
        self, turns: Sequence[Turn], model: str, tools: Tools = (), *, is_raw: bool = False
    ) -> Callable[[], None] | None:
        """Return what raises if a prompt does not fit the model's context; None if it must fit.

        Args:
            turns: The conversation, or the input string as a user's turn.
            model: The model that is asked.
            tools: The tools that it is to know of.
            is_raw: Whether the text of the turn is the whole prompt.
        """
        if not self.check_context or self.base_url == LOCAL_BASE_URL:
            return None
        if self.custom_get_token_ids is not None:  # the model's vocabulary is another
            return None
        limit = (self._get_profile(model) or {}).get("max_input_tokens")
        of_tools = max_json_tokens(tools) if tools else 0
        if not limit or sum(map(max_tokens, turns), of_tools) <= limit:
            return None
        from langchain_voxtral.tokens import context  # noqa: PLC0415 - few prompts are long

        if is_raw:
            return partial(context.check_prompt, turns[0].text, limit=limit, model=model)
        return partial(context.check_conversation, turns, tools, limit=limit, model=model)

    def _get_profile(self, model: str) -> Mapping[str, Any] | None:
        return get_profile(model)

    def _request_builder(self, system_with_audio: SystemWithAudio = "merge") -> RequestBuilder:
        return RequestBuilder(
            provider=PROVIDERS[self.server],
            provider_name=provider_name(self.base_url, self.server),
            prompt_format=None if self.prompt_format == "raw" else get_format(self.prompt_format),
            special_tokens=self.special_tokens,
            api=self.api,
            system_with_audio=system_with_audio,
            coalesce=self.chunk_coalescing,
            max_resumes=self.max_stream_resumes,
        )

    # Calls

    # These do what LangChain's do, and what `_enter_call` says.
    if not TYPE_CHECKING:  # where the signatures are LangChain's

        def generate(self, *args: Any, **kwargs: Any) -> LLMResult:
            """Return the answers to several prompts, with the usage of all in `llm_output`."""
            args = self._enter_generate(CallbackManager, args, kwargs)
            try:
                return super().generate(*args, **kwargs)
            finally:
                self._leave_generate(kwargs["callbacks"])

        async def agenerate(self, *args: Any, **kwargs: Any) -> LLMResult:
            """Do what `generate` does, asynchronously."""
            running_loop()  # LangChain's error would not say what is missing
            args = self._enter_generate(AsyncCallbackManager, args, kwargs)
            try:
                return await super().agenerate(*args, **kwargs)
            finally:
                self._leave_generate(kwargs["callbacks"])

        def stream(
            self,
            input: Any,  # noqa: A002 - LangChain's name
            config: RunnableConfig | None = None,
            **kwargs: Any,
        ) -> Iterator[Any]:
            """Yield the answer in chunks as it comes; the sum of all is the answer of `invoke`."""
            config = self._enter_stream(CallbackManager, config, kwargs)
            return super().stream(input, config, **kwargs)

        def astream(
            self,
            input: Any,  # noqa: A002
            config: RunnableConfig | None = None,
            **kwargs: Any,
        ) -> AsyncIterator[Any]:
            """Do what `stream` does, asynchronously."""
            config = self._enter_stream(AsyncCallbackManager, config, kwargs)
            return on_asyncio(super().astream(input, config, **kwargs))

        def stream_events(
            self,
            input: Any,  # noqa: A002
            config: RunnableConfig | None = None,
            *,
            version: str = "v2",
            **kwargs: Any,
        ) -> Any:
            """Yield the events of an answer as it comes, in the form of that version."""
            if version == "v3":  # the others use `stream`
                config = self._enter_stream(CallbackManager, config, kwargs)
            return super().stream_events(input, config, version=version, **kwargs)

        def astream_events(
            self,
            input: Any,  # noqa: A002
            config: RunnableConfig | None = None,
            *,
            version: str = "v2",
            **kwargs: Any,
        ) -> Any:
            """Do what `stream_events` does, asynchronously."""
            if version == "v3":
                config = self._enter_stream(AsyncCallbackManager, config, kwargs)
            return super().astream_events(input, config, version=version, **kwargs)

    def _enter_generate(
        self, manager_class: ManagerClass, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> tuple[Any, ...]:
        """Return the positional arguments; the callbacks are set in the others."""
        if args[2:]:
            kwargs["callbacks"] = args[2]
        callbacks = kwargs.get("callbacks")
        batch = args[0] if args else kwargs.get("messages") or kwargs.get("prompts") or ()
        metadata: Any = {}  # LangChain adds the model's name to metadata, not to None
        if (
            callbacks
            and isinstance(callbacks, list)
            and not isinstance(callbacks[0], BaseCallbackHandler)
        ):
            # Callbacks for each prompt of an LLM's batch.
            entered: list[Callbacks] = []
            try:
                entered.extend(self._enter_call(manager_class, one, kwargs) for one in callbacks)
            except BaseException:
                self._leave_generate(entered)
                raise
            kwargs["callbacks"] = entered
            metadata = [{} for _ in callbacks]
        else:
            kwargs["callbacks"] = self._enter_call(manager_class, callbacks, kwargs, len(batch))
        if kwargs.get("metadata") is None:
            kwargs["metadata"] = metadata
        return args[:2]

    @staticmethod
    def _leave_generate(callbacks: Any) -> None:
        """Keep nothing in budgets for runs that the cache saved, or that were cancelled early."""
        several = callbacks if isinstance(callbacks, list) else [callbacks]
        for each in several:
            if isinstance(each, BaseCallbackManager):
                release(each)

    def _enter_stream(
        self,
        manager_class: ManagerClass,
        config: RunnableConfig | None,
        kwargs: Mapping[str, Any],
    ) -> RunnableConfig | None:
        whole = ensure_config(config)
        callbacks = whole.get("callbacks")
        entered = self._enter_call(manager_class, callbacks, kwargs)
        return config if entered is callbacks else {**whole, "callbacks": entered}

    def _enter_call(
        self,
        manager_class: ManagerClass,
        callbacks: Callbacks,
        kwargs: Mapping[str, Any],
        prompts: int = 1,
    ) -> Callbacks:
        """Return the callbacks of a call that begins; tracers among them learn what it cost.

        Raises:
            VoxtralInvalidRequestError: A key is among the arguments, which would be traced.
            VoxtralBudgetExceededError: The budget of a usage handler cannot hold the call.
        """
        if keys := KEY_NAMES.intersection(kwargs):
            problems = map(constructor_option_message, sorted(keys))
            raise VoxtralInvalidRequestError(wrong_call_message(problems))
        manager = manager_class.configure(callbacks)
        own = self.callbacks
        handlers = own.handlers if isinstance(own, BaseCallbackManager) else own or ()
        if not manager.handlers and not handlers:
            return callbacks
        model = str(self._get_ls_params(**kwargs).get("ls_model_name"))
        is_counted = enter_call(manager, model, runs=prompts, others=handlers)
        from langchain_voxtral.tracing import record_run_facts  # noqa: PLC0415 - not all trace

        prompt_format = self.prompt_format
        name = "custom" if isinstance(prompt_format, PromptFormat) else prompt_format
        is_traced = record_run_facts(manager, handlers, name)
        return manager if is_counted or is_traced else callbacks
