"""llama.cpp in this process: one prompt in, tokens out."""

import contextlib
import ctypes
import json
import platform
import re
import secrets
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from http.client import HTTPConnection
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from langchain_voxtral.errors import VoxtralLocalError, VoxtralMissingExtraError
from langchain_voxtral.local.engine.forks import delay_forks, protect_after_fork
from langchain_voxtral.local.errors import ErrorResponse

MAX_GENERATION_SECONDS = 600
"""Time for one text; a constraint can make each token take long."""
_MAX_TOKEN_BYTES = 128
"""The longest token of the usual vocabularies, which is one of spaces."""
_MARKUP = re.compile(r"<[^<>\s]{1,60}>|\[/?[A-Z_]{1,60}\]")
"""What is, or is written like, a special token: each is at least one token of any vocabulary."""
_X86 = {"x86_64", "amd64"}
_REQUIRED_CPU_FLAGS = ("avx2", "fma")
_PF_AVX2_INSTRUCTIONS_AVAILABLE = 40  # winnt.h


@dataclass(frozen=True, slots=True)
class Token:
    """One generated token; its text is "" while it may belong to a stop sequence."""

    text: str
    id: int
    logprob: float


@dataclass(frozen=True, slots=True)
class GenerationEnd:
    """How a generation ended.

    Args:
        reason: `stop` or `length`.
        input_tokens: Tokens of the prompt, as llama.cpp counts them.
        output_tokens: Generated tokens, the end marker included.
        ended_by_model: The model ended the text; no stop sequence or limit cut it.
        runtime_ms: Milliseconds that it took.
    """

    reason: str
    input_tokens: int
    output_tokens: int
    ended_by_model: bool
    runtime_ms: int


class Engine:
    """A model loaded by llama.cpp; use it from one thread at a time.

    Args:
        path: A GGUF file.
        n_ctx: Context, in tokens.
        n_threads: Threads. One is best for a tiny model: with as many threads as cores,
            llama.cpp becomes ten times slower as soon as another process is busy.
        fit_memory: Let llama.cpp place the layers on the devices it finds. That takes half a
            second, which pays off for a large model only.

    Raises:
        VoxtralLocalError: llama.cpp cannot load the file, or does not run on this processor.
        VoxtralMissingExtraError: xllamacpp is not installed.
    """

    @delay_forks()
    def __init__(
        self, path: Path, *, n_ctx: int = 4096, n_threads: int = 1, fit_memory: bool = False
    ) -> None:
        check_cpu()
        try:
            import xllamacpp  # noqa: PLC0415 - an extra, and 100 MB
        except ImportError as error:
            raise VoxtralMissingExtraError("xllamacpp") from error
        params = xllamacpp.CommonParams()
        params.model.path = str(path)
        params.n_ctx = n_ctx
        params.n_parallel = 1
        params.verbosity = 0
        # By default llama.cpp keeps the states of earlier prompts, in up to 8 GB.
        params.cache_ram_mib = 0
        params.fit_params = fit_memory
        params.cpuparams.n_threads = params.cpuparams_batch.n_threads = n_threads
        # llama.cpp opens a port of its own on loopback, which nobody else may use.
        self._api_key = secrets.token_urlsafe()
        params.api_keys = [self._api_key]
        try:
            self.server = xllamacpp.Server(params)
        except RuntimeError as error:
            raise VoxtralLocalError(
                f"llama.cpp could not load {path}: {error}. "
                "Is it a GGUF model, complete, and is there memory for it?"
            ) from error
        protect_after_fork(self)
        self.n_ctx = n_ctx
        self.tokens_generated = 0
        """Tokens generated since the start, over all requests."""

    def generate(
        self, fields: Mapping[str, object], on_token: Callable[[Token], object]
    ) -> GenerationEnd:
        """Generate a text; blocks until its end.

        Args:
            fields: llama.cpp's names for prompt, limits and sampling.
            on_token: Called with each token. What it raises ends the generation and is raised
                here. It is not called while the prompt is read, which cannot be interrupted.

        Raises:
            ErrorResponse: The prompt does not fit the context, llama.cpp refuses a field, or the
                text takes too long.
        """
        self._check_length(_min_tokens(str(fields["prompt"])))
        generation = _Generation(self, on_token)
        self.server.handle_completions(
            {**fields, "stream": True, "n_probs": 1, "stream_options": {"include_usage": True}},
            generation,
        )
        return generation.result()

    def apply_template(self, body: Mapping[str, Any]) -> str:
        """Return the prompt that the model's own chat template makes of a conversation.

        Args:
            body: `messages` and `tools` in OpenAI's form.

        Raises:
            ErrorResponse: 400, the template refuses the conversation, or it is too long.
        """
        self._check_length(len(body["messages"]))
        answer = self._ask("/apply-template", body)
        if "error" in answer:
            reason = f"The chat template of the model fails: {answer['error'].get('message')}"
            raise ErrorResponse.with_message(400, reason)
        return str(answer["prompt"])

    def tokenize(self, text: str, *, is_prompt: bool) -> list[int]:
        """Return the tokens of a text.

        Args:
            text: The text.
            is_prompt: Whether special tokens work in it, and it begins with what prompts begin
                with.
        """
        body = {"content": text, "add_special": is_prompt, "parse_special": is_prompt}
        return list(self._ask("/tokenize", body)["tokens"])

    def _ask(self, path: str, body: Mapping[str, Any]) -> Any:
        address = urlsplit(self.server.listening_address)
        connection = HTTPConnection(str(address.hostname), address.port, timeout=60)
        headers = {
            "Authorization": f"Bearer {self._api_key}",
            "Content-Type": "application/json",
        }
        with contextlib.closing(connection):
            connection.request("POST", path, json.dumps(body).encode(), headers)
            return json.load(connection.getresponse())

    def _check_length(self, min_tokens: int) -> None:
        """Refuse what cannot fit: llama.cpp takes up to quadratic time to read it."""
        if min_tokens > self.n_ctx:
            raise _too_long(min_tokens, self.n_ctx)


def _min_tokens(prompt: str) -> int:
    """Return how many tokens a prompt has at least, in linear time."""
    return max(len(prompt.encode()) // _MAX_TOKEN_BYTES, sum(1 for _ in _MARKUP.finditer(prompt)))


class _Generation:
    """The callback of one generation, which llama.cpp calls with its chunks."""

    def __init__(self, engine: Engine, on_token: Callable[[Token], object]) -> None:
        self._engine = engine
        self._on_token = on_token
        self._started = time.perf_counter()
        self._ended_by_model = False
        self._end: GenerationEnd | None = None
        self._error: BaseException | None = None

    def __call__(self, chunk: dict[str, Any]) -> bool:
        """Take a chunk; True stops the generation."""
        try:
            self._process(chunk)
        except BaseException as error:  # noqa: BLE001 - xllamacpp would swallow it
            self._error = error
        return self._error is not None

    def result(self) -> GenerationEnd:
        """Return how the generation ended, or raise what ended it."""
        if self._error is not None:
            raise self._error
        if self._end is None:
            raise RuntimeError("llama.cpp ended a generation without a finish reason")
        return self._end

    def _process(self, chunk: dict[str, Any]) -> None:
        if "error" in chunk:
            raise _error_response(chunk["error"])
        choice = chunk["choices"][0]
        if choice["finish_reason"]:
            self._end = GenerationEnd(
                choice["finish_reason"],
                chunk["usage"]["prompt_tokens"],
                chunk["usage"]["completion_tokens"],
                self._ended_by_model,
                round((time.perf_counter() - self._started) * 1000),
            )
            return
        if time.perf_counter() - self._started > MAX_GENERATION_SECONDS:
            raise _TOO_SLOW
        self._engine.tokens_generated += 1
        content = choice["logprobs"]["content"][0]
        if not choice["text"] and not content["top_logprobs"][0]["token"]:
            self._ended_by_model = True  # the end marker, which has no text
            return
        self._on_token(Token(choice["text"], content["id"], content["logprob"]))


def _error_response(error: dict[str, Any]) -> ErrorResponse:
    """Turn llama.cpp's error into DeepInfra's."""
    if error.get("type") == "exceed_context_size_error":
        return _too_long(error["n_prompt_tokens"], error["n_ctx"])
    return ErrorResponse.with_message(int(error.get("code", 500)), str(error.get("message", error)))


_TOO_SLOW = ErrorResponse.with_message(
    400,
    f"The answer was not complete after {MAX_GENERATION_SECONDS} seconds: ask for fewer tokens, or "
    "for a simpler response_format",
)


def _too_long(tokens: int, max_tokens: int) -> ErrorResponse:
    return ErrorResponse.with_message(
        400, f"Requested input length {tokens} exceeds maximum input length {max_tokens}"
    )


# Processors


def missing_cpu_flags(cpuinfo: str) -> list[str]:
    """Return the required instruction sets that a Linux `/proc/cpuinfo` does not list."""
    for line in cpuinfo.splitlines():
        name, _, value = line.partition(":")
        if name.strip() == "flags":
            return [flag for flag in _REQUIRED_CPU_FLAGS if flag not in value.split()]
    return []


def check_cpu() -> None:
    """Refuse an x86 processor without AVX2, on which llama.cpp would die of SIGILL.

    Raises:
        VoxtralLocalError: AVX2 or FMA is missing, as far as the system reports it.
    """
    if platform.machine().lower() not in _X86:
        return
    missing: list[str] = []
    if sys.platform == "linux":
        with contextlib.suppress(OSError):
            missing = missing_cpu_flags(Path("/proc/cpuinfo").read_text(errors="replace"))
    elif sys.platform == "win32":
        if not ctypes.windll.kernel32.IsProcessorFeaturePresent(_PF_AVX2_INSTRUCTIONS_AVAILABLE):
            missing = ["avx2"]
    if missing:
        raise VoxtralLocalError(
            f"This processor lacks {' and '.join(missing)}, which the embedded engine is "
            "compiled for. Run `langchain-voxtral serve` on another machine and name it in "
            "base_url, or use DeepInfra."
        )
