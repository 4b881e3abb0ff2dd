"""A callback handler that records runs."""

import threading
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

from langchain_core.callbacks import BaseCallbackHandler
from langchain_core.messages import AIMessage
from langchain_core.outputs import ChatGeneration, LLMResult


@dataclass
class LoggedRun:
    """One run: how it was started, its tokens, and its end."""

    kind: str
    name: str
    parent: UUID | None
    start: dict[str, Any]
    tokens: list[str] = field(default_factory=list)
    ends: list[Any] = field(default_factory=list)

    @property
    def result(self) -> LLMResult:
        """What an LLM returned."""
        [result] = self.ends
        assert isinstance(result, LLMResult)
        return result

    @property
    def generation(self) -> ChatGeneration:
        """The generation that an LLM returned."""
        [[generation]] = self.result.generations
        assert isinstance(generation, ChatGeneration)
        return generation

    @property
    def message(self) -> AIMessage:
        """The message that an LLM returned."""
        assert isinstance(self.generation.message, AIMessage)
        return self.generation.message

    @property
    def error(self) -> BaseException:
        """What it failed with."""
        [(error, _)] = self.ends
        assert isinstance(error, BaseException)
        return error

    @property
    def partial_result(self) -> LLMResult | None:
        """What had come before it failed."""
        [(_, response)] = self.ends
        return response if response is None or isinstance(response, LLMResult) else None


class RunLog(BaseCallbackHandler):
    """Records all runs, by their ids."""

    def __init__(self) -> None:
        self.runs: dict[UUID, LoggedRun] = {}
        self._ended = threading.Condition()

    def of(self, kind: str) -> list[LoggedRun]:
        """Return the runs of a kind, in the order of their starts."""
        return [run for run in self.runs.values() if run.kind == kind]

    @property
    def requests(self) -> list[LoggedRun]:
        """The runs of LLMs."""
        return self.of("llm")

    def parent_of(self, run: LoggedRun) -> LoggedRun | None:
        """Return the run above another one."""
        return None if run.parent is None else self.runs[run.parent]

    @property
    def everything(self) -> str:
        """All that was recorded, as text."""
        return repr(self.runs)

    def wait_until_ended(self, timeout: float = 30) -> None:
        """Block until no run is open."""
        with self._ended:
            assert self._ended.wait_for(
                lambda: all(run.ends for run in self.runs.values()), timeout
            ), "a run was never ended"

    def _start(self, kind: str, args: tuple[Any, ...], more: dict[str, Any]) -> None:
        start = {"serialized": args[0], "inputs": args[1], **more}
        run = LoggedRun(kind, more["name"], more["parent_run_id"], start)
        self.runs[more["run_id"]] = run

    def _end(self, run_id: UUID, end: object) -> None:
        with self._ended:
            self.runs[run_id].ends.append(end)
            self._ended.notify_all()

    def on_chain_start(self, *args: Any, **more: Any) -> None:
        """Record a run of a chain."""
        self._start("chain", args, more)

    def on_tool_start(self, *args: Any, **more: Any) -> None:
        """Record a run of a tool."""
        self._start("tool", args, {**more, "name": "tool"})

    def on_llm_start(self, *args: Any, **more: Any) -> None:
        """Record a run of an LLM."""
        self._start("llm", args, more)

    def on_chat_model_start(self, *args: Any, **more: Any) -> None:
        """Record a run of a chat model."""
        self._start("chat_model", args, more)

    def on_llm_new_token(self, token: str, **more: Any) -> None:  # type: ignore[override]
        """Record a token."""
        self.runs[more["run_id"]].tokens.append(token)

    def on_chain_end(self, outputs: Any, **more: Any) -> None:
        """Record the end of a run."""
        self._end(more["run_id"], outputs)

    def on_tool_end(self, output: Any, **more: Any) -> None:
        """Record the end of a run."""
        self._end(more["run_id"], output)

    def on_llm_end(self, response: Any, **more: Any) -> None:
        """Record the end of a run."""
        self._end(more["run_id"], response)

    def on_llm_error(self, error: BaseException, **more: Any) -> None:
        """Record the failure of a run."""
        self._end(more["run_id"], (error, more.get("response")))

    def on_chain_error(self, error: BaseException, **more: Any) -> None:
        """Record the failure of a run."""
        self._end(more["run_id"], (error, None))

    def on_tool_error(self, error: BaseException, **more: Any) -> None:
        """Record the failure of a run."""
        self._end(more["run_id"], (error, None))
