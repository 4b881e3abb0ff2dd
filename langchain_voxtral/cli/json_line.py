"""The result of `transcribe --format json`."""

import json
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from langchain_core.documents import Document

_OF_SEGMENT = ("start", "end", "speaker")


def json_line(text: str, document: "Document", segments: "Sequence[Document]") -> str:
    """Return text, segments, and the metadata of the whole recording, words included."""
    report = {
        "text": text,
        "segments": [
            {name: one.metadata[name] for name in _OF_SEGMENT if name in one.metadata}
            | {"text": one.page_content}
            for one in segments
        ],
        **document.metadata,
    }
    return json.dumps(report)
