"""What is asked one after the other until an answer has the form that was asked for.

Mostly that is one request: the server constrains the answer. A server that refuses to
(DeepInfra: status 405) is told the form in words, and an answer that misses it is sent back
once, with what is wrong with it.
"""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any, Protocol

from langchain_voxtral.completions.request import Ask, Plan
from langchain_voxtral.completions.response import Completion, StreamItem, TextDelta
from langchain_voxtral.errors import VoxtralUnsupportedFeatureError
from langchain_voxtral.forms import form_of
from langchain_voxtral.messages import Turn
from langchain_voxtral.protocol.responses import ResponseInfo, Usage
from langchain_voxtral.tools.call_accumulator import ToolCallChunk, make_unparsable

__all__ = ["Rounds", "in_pieces"]

NOT_SUPPORTED = 405
"""DeepInfra's status for a feature that a model lacks."""


class Planner(Protocol):
    """Makes a request of a question."""

    def __call__(self, ask: Ask, instruction: str | None = None) -> Plan:
        """Plan; with an instruction the form is told in words, and not constrained."""
        ...


class Rounds:
    """The requests of one question.

    Args:
        ask: The question.
        planner: Makes a request of it.

    Attributes:
        first: The first request.
        plan: The next request; None when the answer is there.
        answers: The answer, once it is there.
    """

    def __init__(self, ask: Ask, planner: Planner) -> None:
        self.first = planner(ask)
        self.plan: Plan | None = self.first
        self.answers: list[Completion] = []
        self._ask = ask
        self._planner = planner
        self._form = form_of(ask)
        self._in_words = False
        self._sent_back: Completion | None = None

    def answered(self, answers: list[Completion]) -> None:
        """Take the answer to the current request: it is the answer, or is sent back."""
        self.plan, self.answers = None, answers
        if self._form is None or not self._in_words:
            return
        [said] = answers
        said, problem = self._form.judged(said)
        if problem and self._sent_back is None:
            self._send_back(said, self._form.instruction, problem)
            return
        before = self._sent_back
        structure = "prompted" if before is None else "failed" if problem else "repaired"
        usage = said.info.usage if before is None else _sum(before.info, said.info)
        outcome = replace(said.info, structured_output=structure, usage=usage)
        self.answers = [replace(said, info=outcome)]

    def refused(self, refusal: VoxtralUnsupportedFeatureError) -> None:
        """Take a refusal of the current request: go on in words if it was of the constraint.

        Raises:
            VoxtralUnsupportedFeatureError: The refusal, if words cannot help.
        """
        body = self.first.body
        if (
            self._form is None
            or self._in_words
            or refusal.status_code != NOT_SUPPORTED
            or "response_format" not in body
            or "tools" in body  # the server's own: it may be these that it refuses
            or (self._ask.options.n or 1) > 1
        ):
            raise refusal
        self._in_words = True
        self.plan = self._planner(self._ask, self._form.instruction)

    def _send_back(self, said: Completion, instruction: str, problem: str) -> None:
        """Ask once more, with the answer and what is wrong with it."""
        self._sent_back = said
        *earlier, last = self._ask.turns
        begun = last.text if last.role == "assistant" and not last.tool_calls else ""
        turns = [
            *(earlier if begun else self._ask.turns),
            Turn("assistant", begun + said.raw_text),
            Turn("user", f"That answer will not do: {problem}. Answer again, in the right form."),
        ]
        self.plan = self._planner(replace(self._ask, turns=turns), instruction)


def _sum(first: ResponseInfo, second: ResponseInfo) -> Usage:
    """Add up what two requests cost; a number that one of them did not tell is not told."""

    def total(one: float | None, other: float | None) -> Any:
        return None if one is None or other is None else one + other

    a, b = first.usage, second.usage
    return Usage(
        total(a.input_tokens, b.input_tokens),
        total(a.output_tokens, b.output_tokens),
        total(a.cost, b.cost),
        total(a.cached_tokens, b.cached_tokens),
        total(a.audio_tokens, b.audio_tokens),
    )


def in_pieces(answers: Sequence[Completion]) -> Iterator[StreamItem]:
    """Yield a whole answer as a streamed one."""
    for said in answers:
        if said.text:
            yield TextDelta(said.text)
        for index, call in enumerate(said.tool_calls):
            arguments = make_unparsable(call.raw_arguments) if call.error else call.raw_arguments
            yield ToolCallChunk(index, call.id, call.name, arguments)
        yield said.info
