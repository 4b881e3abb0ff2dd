"""Messages of the package in the words of the command: flags where they name Python's arguments.

The package writes an argument as `name=` or `name='value'`, or by a name that is no English word.
That notation is read here, for the names of a table; what a server said is quoted at the end of a
message and stays as it is.
"""

import re
from collections.abc import Iterable

_FLAGS = {
    "api_key": "the environment variable of the key",
    "base_url": "--base-url",
    "endpoint": "--endpoint",
    "host": "--host",
    "language": "--language",
    "max_cost_usd": "--max-cost",
    "max_tokens": "--max-tokens",
    "mode": "--format",
    "model": "--model",
    "prompt": "--prompt",
    "seed": "--seed",
    "send_silence": "--send-silence",
    "server": "--server",
    "speakers": "--speakers",
    "speech_model": "--speech-model",
    "stop": "--stop",
    "temperature": "--temperature",
    "timestamps": "--timestamps",
    "truncated": "--truncated",
}
"""Flags by the arguments that they set."""

_WITH_VALUES = {
    "speakers=True": "--speakers",
    "send_silence=True": "--send-silence",
    "task='transcribe'": "without --translate",
    "task='translate'": "--translate",
}
"""Arguments whose flags have no value."""

PHRASES = {
    "pass api_key=, or set its environment variable": "set its environment variable",
    ", or give api_key=...; keys": "; keys",
    "give it as api_key=": "set it as VOXTRAL_API_KEY",
    " api='chat_completions',": "",
    " Set max_stream_resumes to have such streams taken up again.": "",
    "; what had arrived is in .partial": "",
    ", for example what trim_messages(messages, max_tokens=..., token_counter=chat) keeps. If the "
    "server's context is larger, pass check_context=False, or its profile= to a chat model": "",
    "give an api_key, or": "give --api-key, or",
}
"""Advice that the command has in other words, or not at all."""

WITHOUT_FLAGS = (
    "chunk_seconds",
    "max_concurrency",
    "max_stream_resumes",
    "price_per_minute",
    "retry_after",
    "timeout=",
)
"""What the command does not have: parentheses that name it are left out."""

_SAID = ' The server said: "'
_ASIDE = re.compile(rf" \([^()]*(?:{'|'.join(WITHOUT_FLAGS)})(?:[^()]|\([^()]*\))*\)")
_ARGUMENT = re.compile(
    rf"(?<![\w.-])(?<!\w\()(?:{'|'.join(map(re.escape, _WITH_VALUES))}"
    rf"|(?P<name>{'|'.join(_FLAGS)})=(?:'(?P<value>[^']*)'|(?P<number>\d[\d.]*(?:e-?\d+)?\b))?"
    r"|(?P<bare>base_url|max_tokens)\b)"
)


def in_flags(message: str, names: Iterable[str] = ()) -> str:
    """Return a message of the package, which names flags for arguments that have one.

    Args:
        message: What the package says.
        names: Names of files, which stay as they are, whatever they look like.
    """
    own, said, quote = message.partition(_SAID)
    if like_arguments := [name for name in names if _reword(name) != name]:
        like_arguments.sort(key=len, reverse=True)
        parts = re.split(f"({'|'.join(map(re.escape, like_arguments))})", own)
        parts[::2] = map(_reword, parts[::2])
        return "".join(parts) + said + quote
    return _reword(own) + said + quote


def _reword(own: str) -> str:
    own = _ASIDE.sub("", own)
    for phrase, words in PHRASES.items():
        own = own.replace(phrase, words)
    return _ARGUMENT.sub(_flag, own)


def flag_of(name: str) -> str:
    """Return the flag that sets an argument; one that has none keeps its name."""
    return _FLAGS.get(name, name)


def _flag(match: re.Match[str]) -> str:
    name = match["name"] or match["bare"]
    if name is None:
        return _WITH_VALUES[match[0]]
    value = match["value"] or match["number"]
    return f"{_FLAGS[name]} {value}" if value else _FLAGS[name]
