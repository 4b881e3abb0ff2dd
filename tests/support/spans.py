"""Spans of OpenTelemetry in memory, written by the two exporters that LangChain users have.

Import it after `pytest.importorskip("opentelemetry.sdk")`: the oldest supported versions lack it.
"""

import json
import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from langchain_core.tracers import LangChainTracer
from langsmith import Client
from openinference.instrumentation import TraceConfig
from openinference.instrumentation.langchain import LangChainInstrumentor
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

LANGSMITH = "langsmith"
OPENINFERENCE = "OpenInference"
EXPORTERS = (LANGSMITH, OPENINFERENCE)


class Spans:
    """Collects the spans of one exporter.

    Args:
        exporter: One of `EXPORTERS`.

    Attributes:
        config: What a call is given, so that it is traced.
    """

    def __init__(self, exporter: str) -> None:
        self.exporter = exporter
        self.config: Any = {}
        self._memory = InMemorySpanExporter()
        self.provider = TracerProvider(shutdown_on_exit=False)
        self.provider.add_span_processor(SimpleSpanProcessor(self._memory))
        self._client: Client | None = None

    @contextmanager
    def recording(self) -> Iterator[None]:
        """Record what runs inside."""
        if self.exporter == OPENINFERENCE:
            config = TraceConfig(enable_genai_semconv=True)
            instrumentor = LangChainInstrumentor()
            instrumentor.instrument(tracer_provider=self.provider, config=config)
            try:
                yield
            finally:
                instrumentor.uninstrument()
            return
        self._client = Client(
            api_url="http://127.0.0.1:9",
            api_key="none",
            info={},
            otel_tracer_provider=self.provider,
            tracing_mode="otel",
        )
        self.config = {"callbacks": [LangChainTracer(client=self._client)]}
        try:
            yield
        finally:
            self._client.close()

    @property
    def finished(self) -> list[ReadableSpan]:
        """All spans that have ended."""
        if self._client is not None:
            self._client.flush()
        return list(self._memory.get_finished_spans())

    @property
    def of_models(self) -> list[ReadableSpan]:
        """The spans of models' runs, in the order of their starts."""
        kinds = {"langsmith.span.kind": "llm", "openinference.span.kind": "LLM"}
        return [
            span
            for span in sorted(self.finished, key=lambda span: span.start_time or 0)
            if any(read(span, name) == kind for name, kind in kinds.items())
        ]


def read(span: ReadableSpan, name: str) -> Any:
    """Return an attribute, or with `name["key"]` a value in an attribute that is JSON."""
    attribute, *keys = re.findall(r"[\w.]+", name)
    value: Any = (span.attributes or {}).get(attribute)
    if keys:
        value = json.loads(str(value))
    for key in keys:
        value = value.get(key) if value else None
    return list(value) if isinstance(value, tuple) else value
