"""LangChain integration for Mistral's Voxtral, on DeepInfra, other servers, and without a key.

- `ChatVoxtral`: a chat model; messages in, messages out, with tools, structured output and audio.
- `VoxtralLLM`: an LLM; text in, text out.
- `VoxtralTranscriptionParser`, `VoxtralTranscriptionLoader`: recordings to documents.
- `VoxtralTranscriber`, `transcribe_audio_tool`: transcription in a chain, and as a tool of agents.
- `audio_block`, `describe_audio`: recordings as content of messages.
- `get_voxtral_usage_callback`, `VoxtralUsageCallbackHandler`, `VoxtralUsage`: tokens, audio, costs.
- `register`: models by name, `init_chat_model("voxtral:...")`.

`langchain_voxtral.errors` has the errors, `langchain_voxtral.local` the embedded engine, and
`langchain_voxtral.prompts` has `PromptFormat`. Each name is loaded when it is first used.

Example:
    ```python
    from langchain_voxtral import ChatVoxtral

    chat = ChatVoxtral(base_url="local")  # the embedded engine: no key needed
    print(chat.invoke("What is the capital of France?").text)
    ```
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from langchain_voxtral._version import __version__

if TYPE_CHECKING:
    from langchain_voxtral.chat_models import ChatVoxtral
    from langchain_voxtral.document_loaders import (
        VoxtralTranscriptionLoader,
        VoxtralTranscriptionParser,
    )
    from langchain_voxtral.llms import VoxtralLLM
    from langchain_voxtral.messages.recordings import audio_block, describe_audio
    from langchain_voxtral.registration import register
    from langchain_voxtral.transcribers import VoxtralTranscriber
    from langchain_voxtral.transcription_tool import transcribe_audio_tool
    from langchain_voxtral.usage.callback import (
        VoxtralUsageCallbackHandler,
        get_voxtral_usage_callback,
    )
    from langchain_voxtral.usage.sums import VoxtralUsage

# The public names are loaded on first use (PEP 562), so that importing one costs no other.
_HOMES = {
    "ChatVoxtral": "langchain_voxtral.chat_models",
    "VoxtralLLM": "langchain_voxtral.llms",
    "VoxtralTranscriber": "langchain_voxtral.transcribers",
    "VoxtralTranscriptionLoader": "langchain_voxtral.document_loaders",
    "VoxtralTranscriptionParser": "langchain_voxtral.document_loaders",
    "VoxtralUsage": "langchain_voxtral.usage.sums",
    "VoxtralUsageCallbackHandler": "langchain_voxtral.usage.callback",
    "audio_block": "langchain_voxtral.messages.recordings",
    "describe_audio": "langchain_voxtral.messages.recordings",
    "get_voxtral_usage_callback": "langchain_voxtral.usage.callback",
    "register": "langchain_voxtral.registration",
    "transcribe_audio_tool": "langchain_voxtral.transcription_tool",
}

__all__ = [
    "ChatVoxtral",
    "VoxtralLLM",
    "VoxtralTranscriber",
    "VoxtralTranscriptionLoader",
    "VoxtralTranscriptionParser",
    "VoxtralUsage",
    "VoxtralUsageCallbackHandler",
    "__version__",
    "audio_block",
    "describe_audio",
    "get_voxtral_usage_callback",
    "register",
    "transcribe_audio_tool",
]


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        return getattr(import_module(_HOMES[name]), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
