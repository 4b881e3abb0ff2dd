"""The models of a server; its language model: SmolLM2, or a GGUF file of the user's own."""

import os
import threading
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from langchain_voxtral.local.engine.llama import Engine
from langchain_voxtral.local.engine.speech import SpeechEngine
from langchain_voxtral.local.prompting.chat_template import (
    SMOLLM2_TEMPLATE,
    ChatTemplate,
    load_chat_template,
)
from langchain_voxtral.local.weights import SMOLLM2, ensure_text_model
from langchain_voxtral.profiles import LOCAL_MODEL

VOXTRAL = "mistralai/Voxtral-Mini-3B-2507"


@dataclass(frozen=True, slots=True)
class LoadedModel:
    """llama.cpp with a model in it, and the model's prompt format."""

    engine: Engine
    template: ChatTemplate


class TextModel:
    """A language model whose name is known at once; it is loaded when first needed. Thread-safe.

    Args:
        model: A GGUF file; by default the one that `VOXTRAL_GGUF` names, else SmolLM2.
        n_ctx: Context, in tokens.
    """

    def __init__(self, model: str | Path | None = None, *, n_ctx: int = 4096) -> None:
        self._model = model
        self.n_ctx = n_ctx
        default_file = SMOLLM2.files[0].name
        path = Path(model or os.environ.get("VOXTRAL_GGUF") or default_file)
        self.is_default = path.name == default_file
        """Whether this is SmolLM2 and not a model that the user chose to serve."""
        self.name = LOCAL_MODEL if self.is_default else path.stem
        """The real name of the model, whatever name requests ask for."""
        self._loaded: LoadedModel | None = None
        self._loading = threading.Lock()

    @property
    def ids(self) -> tuple[str, ...]:
        """The model ids that requests may name."""
        if self.is_default:
            return (VOXTRAL, LOCAL_MODEL, f"HuggingFaceTB/{LOCAL_MODEL}")
        return (VOXTRAL, self.name)

    @property
    def is_loaded(self) -> bool:
        """Whether it is loaded, so that `load` returns at once."""
        return self._loaded is not None

    @property
    def engine(self) -> Engine:
        """llama.cpp with the model in it."""
        return self.load().engine

    @property
    def template(self) -> ChatTemplate:
        """The prompt format."""
        return self.load().template

    def load(self) -> LoadedModel:
        """Load the model once, fetching SmolLM2's weights if need be.

        Raises:
            VoxtralLocalError: A named file does not exist, the weights cannot be had, or llama.cpp
                cannot load them or does not run on this processor. The next call tries again.
            VoxtralMissingExtraError: xllamacpp is not installed.
        """
        if self._loaded is None:
            with self._loading:
                if self._loaded is None:
                    self._loaded = self._load()
        return self._loaded

    def _load(self) -> LoadedModel:
        n_threads = 1 if self.is_default else max(1, (os.cpu_count() or 2) - 1)
        engine = Engine(
            ensure_text_model(self._model),
            n_ctx=self.n_ctx,
            n_threads=n_threads,
            fit_memory=not self.is_default,
        )
        is_smollm2 = self.is_default
        template = SMOLLM2_TEMPLATE if is_smollm2 else load_chat_template(engine.apply_template)
        return LoadedModel(engine, template)


class Models(NamedTuple):
    """The models of a server."""

    text: TextModel
    speech: SpeechEngine

    def missing(self, *, text: bool, speech: bool) -> list[TextModel | SpeechEngine]:
        """Return which of the wanted ones are not loaded."""
        missing: list[TextModel | SpeechEngine] = []
        if text and not self.text.is_loaded:
            missing.append(self.text)
        if speech and not self.speech.is_loaded:
            missing.append(self.speech)
        return missing
