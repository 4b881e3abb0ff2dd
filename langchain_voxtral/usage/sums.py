"""What calls have used: requests, tokens, seconds of audio, dollars."""

from collections.abc import Mapping
from dataclasses import astuple, dataclass, fields
from math import floor, log10
from typing import Any

from langchain_core.outputs import LLMResult

from langchain_voxtral.errors import VoxtralError, VoxtralTimeoutError


@dataclass(frozen=True, slots=True, repr=False)
class VoxtralUsage:
    """A sum over calls; sums can be added.

    Args:
        requests: Calls that were sent; one that was sent again is still one.
        failed_requests: Those that ended in an error.
        retries: How often calls were sent again.
        resumes: How often streams were cut and taken up again.
        cached_responses: Answers from LangChain's cache, which cost nothing and are no requests.
        input_tokens: Tokens of the prompts.
        output_tokens: Tokens generated.
        audio_seconds: Seconds of audio that were billed.
        cost_usd: US dollars, as far as they are known.
        estimated_cost_usd: The part of them that is an estimate, because the server told none.
        requests_without_usage: Requests of which neither tokens nor seconds are known, or only in
            part.
        requests_without_cost: Requests whose cost is not known, or only in part.

    Example:
        ```python
        from langchain_voxtral import VoxtralUsage

        days = [VoxtralUsage(requests=2, cost_usd=0.01), VoxtralUsage(requests=1, cost_usd=0.002)]
        assert str(sum(days, VoxtralUsage())) == "3 requests, $0.012"
        ```
    """

    requests: int = 0
    failed_requests: int = 0
    retries: int = 0
    resumes: int = 0
    cached_responses: int = 0
    input_tokens: int = 0
    output_tokens: int = 0
    audio_seconds: float = 0.0
    cost_usd: float = 0.0
    estimated_cost_usd: float = 0.0
    requests_without_usage: int = 0
    requests_without_cost: int = 0

    @property
    def total_tokens(self) -> int:
        """Tokens of prompts and answers together."""
        return self.input_tokens + self.output_tokens

    def __add__(self, other: "VoxtralUsage") -> "VoxtralUsage":
        pairs = zip(astuple(self), astuple(other), strict=True)
        return VoxtralUsage(*(one + another for one, another in pairs))

    def __repr__(self) -> str:
        values = {field.name: getattr(self, field.name) for field in fields(self)}
        known = ", ".join(f"{name}={value!r}" for name, value in values.items() if value)
        return f"VoxtralUsage({known})"

    def __str__(self) -> str:
        parts = [
            self._requests(),
            _count(self.cached_responses, "cached answer") if self.cached_responses else "",
            self._tokens(),
            f"{self.audio_seconds:,.1f} s of audio" if self.audio_seconds else "",
            self._cost(),
        ]
        unknown = {"usage": self.requests_without_usage, "cost": self.requests_without_cost}
        parts += [
            f"{what} of {_count(number, 'request')} not known"
            for what, number in unknown.items()
            if number
        ]
        return ", ".join(filter(None, parts))

    def _requests(self) -> str:
        details = [
            f"{self.failed_requests:,} failed" if self.failed_requests else "",
            _count(self.retries, "retry", "retries") if self.retries else "",
            _count(self.resumes, "resume") if self.resumes else "",
        ]
        said = ", ".join(filter(None, details))
        return _count(self.requests, "request") + (f" ({said})" if said else "")

    def _tokens(self) -> str:
        if not self.input_tokens and not self.output_tokens:
            return ""
        return f"{self.input_tokens:,} input and {self.output_tokens:,} output tokens"

    def _cost(self) -> str:
        if not self.cost_usd and self.requests_without_cost:
            return ""
        estimated = self.estimated_cost_usd
        if not estimated:
            return dollars(self.cost_usd)
        part = "" if estimated == self.cost_usd else f"{dollars(estimated)} of it "
        return f"{dollars(self.cost_usd)} ({part}estimated)"


def _count(number: int, thing: str, things: str = "") -> str:
    return f"{number:,} {thing if number == 1 else things or thing + 's'}"


def dollars(amount: float) -> str:
    """Return an amount with two decimals, or as many as it has: six, or three digits of small ones.

    Example:
        ```python
        from langchain_voxtral.usage.sums import dollars

        assert [*map(dollars, (2.5, 0.00123, 0.0000436))] == ["$2.50", "$0.00123", "$0.0000436"]
        ```
    """
    decimals = max(6, 2 - floor(log10(amount))) if amount > 0 else 2
    whole, _, fraction = f"{amount:,.{decimals}f}".partition(".")
    return f"${whole}.{fraction.rstrip('0').ljust(2, '0')}"


def usage_of_result(response: LLMResult) -> VoxtralUsage:
    """Return what a run of this package used that brought an answer.

    Usage of several completions stands on the first.
    """
    message = getattr(first_generation(response), "message", None)
    tokens: Any = getattr(message, "usage_metadata", None) or {}
    if is_cached(tokens):
        return VoxtralUsage(cached_responses=1)
    info = getattr(message, "response_metadata", {})
    cost, resumes = info.get("cost"), info.get("resumes", 0)
    is_used = "input_tokens" in tokens or "audio_seconds" in info
    return VoxtralUsage(
        requests=1,
        retries=max(0, info.get("attempts", 1) - 1 - resumes),
        resumes=resumes,
        input_tokens=tokens.get("input_tokens", 0),
        output_tokens=tokens.get("output_tokens", 0),
        audio_seconds=info.get("audio_seconds", 0.0),
        cost_usd=cost or 0.0,
        estimated_cost_usd=(cost or 0.0) if info.get("cost_source") == "estimated" else 0.0,
        requests_without_usage=int(not is_used or info.get("usage_incomplete", False)),
        requests_without_cost=int(cost is None or not info.get("cost_complete", True)),
    )


def usage_of_failure(
    error: BaseException, response: LLMResult | None, prompts: int = 1
) -> VoxtralUsage:
    """Return what a run of this package used that brought no whole answer.

    A call that never left is no request. One whose answer never began cost nothing; of the
    others, and of those that timed out or were cancelled, nobody has said what they cost. Nor of
    the prompts of a batch of which one failed: all are told its error, also those that were
    answered.
    """
    attempts = error.attempts if isinstance(error, VoxtralError) and prompts == 1 else 1
    if attempts == 0:
        return VoxtralUsage()
    used = (getattr(error, "usage", None) or {}) if prompts == 1 else {}
    text = getattr(error, "partial", "") or getattr(first_generation(response), "text", "")
    is_stopped = not isinstance(error, Exception)  # a stream that was closed, a cancelled task
    is_begun = is_stopped or text or used or isinstance(error, VoxtralTimeoutError)
    is_unknown = bool(is_begun or prompts > 1)
    return VoxtralUsage(
        requests=1,
        failed_requests=int(not is_stopped),
        retries=attempts - 1,
        input_tokens=used.get("input_tokens", 0),
        output_tokens=used.get("output_tokens", 0),
        requests_without_usage=int(is_unknown),
        requests_without_cost=int(is_unknown),
    )


def is_cached(usage: Mapping[str, Any]) -> bool:
    """Return whether an answer comes from LangChain's cache, which says that it cost nothing."""
    return usage.get("total_cost") == 0


def first_generation(response: LLMResult | None) -> Any:
    """Return the generation with the answer, or what had come of it; behind it stands the error."""
    generations = response.generations if response is not None else []
    return generations[0][0] if generations and generations[0] else None
