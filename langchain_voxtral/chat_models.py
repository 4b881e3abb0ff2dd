"""`ChatVoxtral`: messages in, `AIMessage` out."""

from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from typing import Any, Literal, Self

from langchain_core.callbacks import AsyncCallbackManagerForLLMRun, CallbackManagerForLLMRun
from langchain_core.language_models import (
    BaseChatModel,
    LangSmithParams,
    LanguageModelInput,
    ModelProfile,
)
from langchain_core.messages import AIMessage, AIMessageChunk, BaseMessage
from langchain_core.outputs import ChatGeneration, ChatGenerationChunk, ChatResult
from langchain_core.runnables import Runnable
from langchain_core.tools import BaseTool
from pydantic import PrivateAttr, model_validator

from langchain_voxtral._version import __version__
from langchain_voxtral.answers import Outcome, Piece
from langchain_voxtral.base import FACE_CONFIG, NO_TOOLS, VoxtralBase
from langchain_voxtral.endpoint import LOCAL
from langchain_voxtral.errors import VoxtralUnsupportedFeatureError
from langchain_voxtral.messages import to_turns
from langchain_voxtral.options import in_our_spelling
from langchain_voxtral.profiles import STAND_IN, profile_of
from langchain_voxtral.prompts import PromptFormat, get_format, render
from langchain_voxtral.transport import Lease


class ChatVoxtral(VoxtralBase, BaseChatModel):
    """Voxtral Mini as a LangChain chat model, on DeepInfra's native text endpoint.

    Every field below that `CallOptions` declares (`model`, `temperature`, `stop`, ...) may also
    be given to a single call.

    Args:
        prompt_format: How messages become the input string: `"llama3"`, the format that
            DeepInfra documents, `"mistral"`, the model's own, or a `PromptFormat`.
        streaming: Whether `invoke` streams inside, for callbacks that want tokens.

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

    model_config = FACE_CONFIG

    prompt_format: Literal["llama3", "mistral"] | PromptFormat = "llama3"
    """How messages become the input string."""
    streaming: bool | None = None
    """Whether `invoke` streams inside; False keeps even `stream` from it."""

    _lease: Lease = PrivateAttr(default_factory=Lease)
    _lost_key: bool = PrivateAttr(default=False)

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
        given = in_our_spelling({"stop": stop} | kwargs)
        params = super()._get_ls_params(**given)
        params["ls_provider"] = self._provider
        if given["stop"] is None and self.stop:
            params["ls_stop"] = self.stop
        return params

    def _resolve_model_profile(self) -> ModelProfile | None:
        profile = profile_of(STAND_IN if self.base_url == LOCAL else self.model)
        return None if profile is None else ModelProfile(**profile)  # type: ignore[typeddict-item]

    def bind_tools(
        self,
        tools: Sequence[dict[str, Any] | type | Callable[..., Any] | BaseTool],
        *,
        tool_choice: str | None = None,
        **kwargs: Any,
    ) -> Runnable[LanguageModelInput, AIMessage]:
        """Refuse: this version has no tools.

        Raises:
            VoxtralUnsupportedFeatureError: Always.
        """
        raise VoxtralUnsupportedFeatureError(NO_TOOLS)

    # Calls

    def _generate(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: CallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> ChatResult:
        options = self._call_options(stop, kwargs)
        return _result(self._answer(self._prompt(messages), self._format(), options))

    async def _agenerate(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: AsyncCallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> ChatResult:
        options = self._call_options(stop, kwargs)
        return _result(await self._aanswer(self._prompt(messages), self._format(), options))

    def _stream(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: CallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> Iterator[ChatGenerationChunk]:
        options = self._call_options(stop, kwargs)
        for item in self._pieces(self._prompt(messages), self._format(), options):
            chunk = _chunk(item)
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
        options = self._call_options(stop, kwargs)
        async for item in self._apieces(self._prompt(messages), self._format(), options):
            chunk = _chunk(item)
            if run_manager is not None:
                await run_manager.on_llm_new_token(chunk.text, chunk=chunk)
            yield chunk

    def _format(self) -> PromptFormat:
        return get_format(self.prompt_format)

    def _prompt(self, messages: Sequence[BaseMessage]) -> str:
        return render(to_turns(messages), self._format(), special_tokens=self.special_tokens)


def _result(answers: list[tuple[str, Outcome]]) -> ChatResult:
    generations = []
    for text, outcome in answers:
        metadata = outcome.response_metadata()
        message = AIMessage(
            content=text,
            usage_metadata=outcome.usage_metadata(),
            response_metadata=metadata,
        )
        generations.append(ChatGeneration(message=message))
    return ChatResult(generations=generations)


def _chunk(item: Piece | Outcome) -> ChatGenerationChunk:
    """Make a chunk; usage and metadata ride on the last one alone, since LangChain adds them."""
    if isinstance(item, Piece):
        return ChatGenerationChunk(
            message=AIMessageChunk(content=item.text), generation_info=item.generation_info()
        )
    return ChatGenerationChunk(
        message=AIMessageChunk(
            content="",
            usage_metadata=item.usage_metadata(),
            response_metadata=item.response_metadata(),
            chunk_position="last",
        )
    )
