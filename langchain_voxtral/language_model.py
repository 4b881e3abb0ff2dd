"""`LanguageModel`: what `ChatVoxtral` and `VoxtralLLM` have in common."""

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any, Literal, Self

from langchain_core.language_models import BaseLanguageModel, LangSmithParams
from pydantic import model_validator

from langchain_voxtral import tokenizer
from langchain_voxtral._version import __version__
from langchain_voxtral.client import VoxtralClient
from langchain_voxtral.completions.chat_body import SystemWithAudio
from langchain_voxtral.completions.request import RequestBuilder
from langchain_voxtral.connection import PART_CONFIG, ConnectionSettings
from langchain_voxtral.prompts import PromptFormat, PromptFormatName, SpecialTokens, get_format
from langchain_voxtral.providers import PROVIDERS, provider_name
from langchain_voxtral.settings import FIELD_ALIASES, SamplingSettings, reject_unknown_fields


class LanguageModel(ConnectionSettings, SamplingSettings, BaseLanguageModel[Any]):
    """A model of LangChain with the settings of this package, and what LangChain asks about it."""

    model_config = PART_CONFIG

    prompt_format: PromptFormatName | Literal["raw"] | PromptFormat = "llama3"
    """How messages or a string become the input string."""
    special_tokens: SpecialTokens = "neutralize"
    """What to do with special tokens in content: break them, refuse them (`"error"`), or let
    them work (`"allow"`)."""
    chunk_coalescing: bool = True
    """Whether tokens that arrive together may leave as one chunk; none ever waits for another."""

    @model_validator(mode="before")
    @classmethod
    def _reject_unknown_fields(cls, values: Any) -> Any:
        reject_unknown_fields(cls.model_fields, values)
        return values

    @model_validator(mode="after")
    def _set_package_version(self) -> Self:
        self._add_version("langchain-voxtral", __version__)
        return self

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
        return params

    def get_token_ids(self, text: str) -> list[int]:
        """Return the token ids of a text, by the model's vocabulary (Tekken).

        Special tokens in the text are text like any other. `custom_get_token_ids` goes first.

        Args:
            text: A text, without the tokens that a prompt has around it.

        Raises:
            VoxtralMissingExtraError: The `tokens` extra is not installed.

        Example:
            ```python
            from langchain_voxtral import VoxtralLLM

            llm = VoxtralLLM(api_key="any")  # nothing is sent
            assert llm.get_token_ids("Hello!") == [22177, 1033]
            assert llm.get_num_tokens("Hello!") == 2
            ```
        """
        if self.custom_get_token_ids is not None:
            return list(self.custom_get_token_ids(text))
        return tokenizer.encode(text)

    def get_num_tokens(self, text: str) -> int:
        """Return how many token ids a text has; see `get_token_ids`.

        Args:
            text: A text.
        """
        if self.custom_get_token_ids is not None:
            return len(self.get_token_ids(text))
        return tokenizer.count(text)

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
    def _client(self) -> VoxtralClient:
        return VoxtralClient(self)

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
