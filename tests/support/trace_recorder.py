"""LangSmith traces without LangSmith."""

import json
from typing import Any

from langsmith import Client


class TraceRecorder(Client):
    """A LangSmith client that records what it would send."""

    __slots__ = ("created", "updated")

    def __init__(self) -> None:
        super().__init__(
            api_url="http://127.0.0.1:9", api_key="none", auto_batch_tracing=False, info={}
        )
        self.created: list[dict[str, Any]] = []
        self.updated: list[dict[str, Any]] = []

    def create_run(self, name: str, inputs: Any, run_type: Any, **kwargs: Any) -> None:
        """Record a new run."""
        run = {"name": name, "inputs": inputs, "run_type": run_type, **kwargs}
        self.created.append(json.loads(json.dumps(run, default=repr)))

    def update_run(self, run_id: Any, **kwargs: Any) -> None:
        """Record the end of a run."""
        self.updated.append(json.loads(json.dumps(kwargs, default=repr)))

    @property
    def model_runs(self) -> list[dict[str, Any]]:
        """The finished runs of models."""
        return [run for run in self.updated if run["run_type"] == "llm"]

    @property
    def everything(self) -> str:
        """All traces as JSON."""
        return json.dumps([self.created, self.updated])
