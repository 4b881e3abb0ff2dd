"""`register`: LangChain's `init_chat_model` learns of this package."""

from importlib import import_module
from typing import Any

from langchain_voxtral.errors import VoxtralError

__all__ = ["register"]

PROVIDER = "voxtral"
_OURS = ("langchain_voxtral", "ChatVoxtral")
_REGISTRY = "_BUILTIN_PROVIDERS"
_INSTEAD = "Pass an instance of ChatVoxtral in place of a string."


def register() -> None:
    """Let `init_chat_model` and agents accept `"voxtral:MODEL"` for a `ChatVoxtral`.

    This adds a row to LangChain's table of providers, which has no public interface, for the rest
    of the process. Further calls change nothing. Call it before the string is used by
    `init_chat_model("voxtral:MODEL")`, `init_chat_model("MODEL", model_provider="voxtral")`,
    `create_agent("voxtral:MODEL")`, or middleware that takes names of models. Further arguments of
    `init_chat_model` are those of `ChatVoxtral`.

    Without `voxtral:`, LangChain creates a `ChatMistralAI` for `"mistralai/Voxtral-Mini-3B-2507"`,
    which uses Mistral's own API.

    Raises:
        ImportError: The package `langchain`, which has these functions, is not installed.
        VoxtralError: This version of `langchain` has another table, or another package has
            registered this name.

    Example:
        ```python
        from langchain.chat_models import init_chat_model
        from langchain_voxtral import register

        register()
        chat = init_chat_model("voxtral:mistralai/Voxtral-Mini-3B-2507", base_url="local")
        print(chat.invoke("What is the capital of France?").text)
        ```
    """
    try:
        home = import_module("langchain.chat_models.base")
    except ImportError as error:
        raise ImportError(
            "register() needs langchain 1.0 or later, whose init_chat_model and create_agent take "
            f'names of models: pip install "langchain>=1". {_INSTEAD}'
        ) from error
    providers = getattr(home, _REGISTRY, None)
    if not isinstance(providers, dict) or not all(map(_is_row, providers.values())):
        raise VoxtralError(
            f"This version of langchain keeps its providers otherwise than in {_REGISTRY} of "
            f"langchain.chat_models.base, so that none can be added. {_INSTEAD}"
        )
    module, name, _ = providers.setdefault(PROVIDER, (*_OURS, _create))
    if (module.partition(".")[0], name) != _OURS:  # LangChain may have a row for it one day
        raise VoxtralError(
            f'"{PROVIDER}:" means {name} of {module} in this process, which another package has '
            f"registered. {_INSTEAD}"
        )


def _is_row(row: Any) -> bool:
    match row:
        case (str(), str(), creator):
            return callable(creator)
    return False


def _create(cls: Any, **settings: Any) -> Any:  # the name by which LangChain passes it
    return cls(**settings)
