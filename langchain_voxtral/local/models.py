"""Which model is served: the stand-in, or a GGUF file of the user's own."""

import os
from dataclasses import dataclass
from pathlib import Path

from langchain_voxtral.local.engine.llama import Engine
from langchain_voxtral.local.prompting.chat_template import (
    SMOLLM2_TEMPLATE,
    ChatTemplate,
    load_chat_template,
)
from langchain_voxtral.local.weights import SMOLLM2, ensure_text_model
from langchain_voxtral.profiles import LOCAL_MODEL

VOXTRAL = "mistralai/Voxtral-Mini-3B-2507"


@dataclass(frozen=True, slots=True)
class ModelFile:
    """A GGUF file, found but not loaded."""

    path: Path

    @property
    def is_stand_in(self) -> bool:
        """Whether this is SmolLM2 and not a model that the user chose to serve."""
        return self.path.name == SMOLLM2.files[0].name

    @property
    def name(self) -> str:
        """The real name of the model, whatever name requests ask for."""
        return LOCAL_MODEL if self.is_stand_in else self.path.stem

    @property
    def ids(self) -> tuple[str, ...]:
        """The model ids that requests may name."""
        if self.is_stand_in:
            return (VOXTRAL, LOCAL_MODEL, f"HuggingFaceTB/{LOCAL_MODEL}")
        return (VOXTRAL, self.name)


@dataclass(frozen=True, slots=True)
class LocalModel:
    """A loaded model: its file, llama.cpp with the model in it, and its prompt format."""

    file: ModelFile
    engine: Engine
    template: ChatTemplate

    @property
    def name(self) -> str:
        """The real name of the model."""
        return self.file.name


def choose_file(model: str | Path | None = None) -> ModelFile:
    """Find the model's file; without a name the stand-in's, downloaded if need be.

    Raises:
        VoxtralLocalError: A named file does not exist, or the weights cannot be had.
    """
    return ModelFile(ensure_text_model(model))


def load(file: ModelFile, *, n_ctx: int) -> LocalModel:
    """Load a model.

    Raises:
        VoxtralLocalError: llama.cpp cannot load it, or does not run on this processor.
        VoxtralMissingExtraError: xllamacpp is not installed.
    """
    n_threads = 1 if file.is_stand_in else max(1, (os.cpu_count() or 2) - 1)
    engine = Engine(file.path, n_ctx=n_ctx, n_threads=n_threads, fit_memory=not file.is_stand_in)
    is_smollm2 = file.is_stand_in
    template = SMOLLM2_TEMPLATE if is_smollm2 else load_chat_template(engine.apply_template)
    return LocalModel(file, engine, template)
