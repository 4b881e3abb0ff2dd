"""llama.cpp in this process: one prompt in, tokens out."""

import contextlib
import platform
import secrets
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from langchain_voxtral.errors import VoxtralLocalError, VoxtralMissingExtraError
from langchain_voxtral.local.engine import forks
from langchain_voxtral.local.errors import ErrorResponse

__all__ = ["Engine", "GenerationEnd", "Token", "check_cpu", "cpu_lacks"]

_X86 = {"x86_64", "amd64"}
_NEEDED_FLAGS = ("avx2", "fma")
_PF_AVX2_INSTRUCTIONS_AVAILABLE = 40  # winnt.h


@dataclass(frozen=True, slots=True)
class Token:
    """One generated token.

    Args:
        text: What it adds to the answer; "" while it may belong to a stop sequence.
        id: Its number in the model's vocabulary.
        logprob: Natural logarithm of its probability.
    """

    text: str
    id: int
    logprob: float


@dataclass(frozen=True, slots=True)
class GenerationEnd:
    """How a generation ended.

    Args:
        reason: `stop` or `length`.
        input_tokens: Tokens of the prompt, as the engine counts them.
        output_tokens: Tokens generated, the end marker included.
        complete: The model ended its answer itself; no stop sequence or limit cut it.
    """

    reason: str
    input_tokens: int
    output_tokens: int
    complete: bool


class Engine:
    """A model that llama.cpp has loaded; use it from one thread at a time.

    Args:
        path: A GGUF file.
        n_ctx: Context, in tokens.
        n_threads: Threads. One is right for a tiny model: with as many threads as cores,
            llama.cpp's barriers make it ten times slower as soon as anything else runs.
        fit_memory: Let llama.cpp place the model's layers on the devices that it finds;
            worth its half second for a large model only.

    Raises:
        VoxtralLocalError: The file is no model that llama.cpp can load, or the processor
            lacks instructions that it was compiled for.
        VoxtralMissingExtraError: xllamacpp is not installed.

    Example:
        ```python
        from langchain_voxtral.local.engine.llama import Engine
        from langchain_voxtral.local.weights import ensure_weights

        engine = Engine(ensure_weights())
        engine.generate({"prompt": "2+2=", "max_tokens": 4}, lambda token: print(token) or True)
        ```
    """

    def __init__(
        self,
        path: Path,
        *,
        n_ctx: int = 4096,
        n_threads: int = 1,
        fit_memory: bool = False,
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
        params.fit_params = fit_memory
        params.cpuparams.n_threads = params.cpuparams_batch.n_threads = n_threads
        # llama.cpp opens a port of its own on loopback; nobody else shall use it.
        params.api_keys = [secrets.token_urlsafe()]
        try:
            self.server = xllamacpp.Server(params)
        except RuntimeError as error:
            raise VoxtralLocalError(
                f"llama.cpp could not load {path}: {error}. "
                "Is it a GGUF model, complete, and is there memory for it?"
            ) from error
        forks.protect_after_fork(self)
        self.n_ctx = n_ctx
        self.tokens_generated = 0
        """Tokens generated since the start, over all requests."""

    def generate(
        self, fields: Mapping[str, object], keep_going: Callable[[Token], bool]
    ) -> GenerationEnd | None:
        """Generate, handing over each token as it comes; blocks until the end.

        Args:
            fields: llama.cpp's names for prompt, limits and sampling.
            keep_going: Called with each token; returning False ends the generation. While
                the prompt is still being read nothing calls it, so nothing can end that.

        Returns:
            How it ended, or None if `keep_going` ended it.

        Raises:
            ErrorResponse: The prompt does not fit the context, or llama.cpp refuses a field.
        """
        call = _Call(self, keep_going)
        self.server.handle_completions(
            {**fields, "stream": True, "n_probs": 1, "stream_options": {"include_usage": True}},
            call,
        )
        if call.failure is not None:
            raise call.failure
        return call.finished


class _Call:
    """The callback of one generation: llama.cpp's chunks in, tokens out."""

    def __init__(self, engine: Engine, keep_going: Callable[[Token], bool]) -> None:
        self._engine = engine
        self._keep_going = keep_going
        self._ended = False
        self.finished: GenerationEnd | None = None
        self.failure: BaseException | None = None

    def __call__(self, chunk: dict[str, Any]) -> bool:
        # xllamacpp swallows what a callback raises: keep it, and stop. True means stop.
        try:
            return not self._take(chunk)
        except BaseException as failure:  # noqa: BLE001 - raised again by generate()
            self.failure = failure
            return True

    def _take(self, chunk: dict[str, Any]) -> bool:
        if "error" in chunk:
            raise _refusal(chunk["error"])
        choice = chunk["choices"][0]
        if choice["finish_reason"]:
            usage = chunk["usage"]
            self.finished = GenerationEnd(
                choice["finish_reason"],
                usage["prompt_tokens"],
                usage["completion_tokens"],
                complete=self._ended,
            )
            return True
        self._engine.tokens_generated += 1
        content = choice["logprobs"]["content"][0]
        if not choice["text"] and not content["top_logprobs"][0]["token"]:
            self._ended = True  # the end marker: it has no text, and none is shown
            return True
        return self._keep_going(Token(choice["text"], content["id"], content["logprob"]))


def _refusal(error: dict[str, Any]) -> ErrorResponse:
    """Turn llama.cpp's error into DeepInfra's."""
    if error.get("type") == "exceed_context_size_error":
        sizes = f"length {error['n_prompt_tokens']} exceeds maximum input length {error['n_ctx']}"
        return ErrorResponse.with_message(400, f"Requested input {sizes}")
    return ErrorResponse.with_message(int(error.get("code", 500)), str(error.get("message", error)))


def cpu_lacks(cpuinfo: str) -> list[str]:
    """Return the needed instruction sets that a Linux `/proc/cpuinfo` does not list."""
    for line in cpuinfo.splitlines():
        name, _, value = line.partition(":")
        if name.strip() == "flags":
            return [flag for flag in _NEEDED_FLAGS if flag not in value.split()]
    return []


def check_cpu() -> None:
    """Refuse an x86 processor without AVX2, which would die of SIGILL inside llama.cpp.

    Other architectures are built without it; where the system does not tell, nothing is
    refused.

    Raises:
        VoxtralLocalError: AVX2 or FMA is missing.
    """
    if platform.machine().lower() not in _X86:
        return
    lacking: list[str] = []
    if sys.platform == "linux":
        with contextlib.suppress(OSError):
            lacking = cpu_lacks(Path("/proc/cpuinfo").read_text(errors="replace"))
    elif sys.platform == "win32":
        import ctypes  # noqa: PLC0415 - for Windows only

        if not ctypes.windll.kernel32.IsProcessorFeaturePresent(_PF_AVX2_INSTRUCTIONS_AVAILABLE):
            lacking = ["avx2"]
    if lacking:
        raise VoxtralLocalError(
            f"This processor lacks {' and '.join(lacking)}, which the embedded engine is "
            "compiled for. Run `langchain-voxtral serve` on another machine and name it in "
            "base_url, or use DeepInfra."
        )
