"""A byte store in a folder, like `LocalFileStore`."""

from collections.abc import Iterator, Sequence
from os import PathLike
from pathlib import Path

from langchain_core.stores import ByteStore


class FolderStore(ByteStore):
    """Keeps each value in a file that is named after its key."""

    def __init__(self, folder: str | PathLike[str]) -> None:
        self._folder = Path(folder)

    def mget(self, keys: Sequence[str]) -> list[bytes | None]:
        """Return the values, None for those that are not there."""
        paths = [self._folder / key for key in keys]
        return [path.read_bytes() if path.exists() else None for path in paths]

    def mset(self, key_value_pairs: Sequence[tuple[str, bytes]]) -> None:
        """Write values."""
        for key, value in key_value_pairs:
            (self._folder / key).write_bytes(value)

    def mdelete(self, keys: Sequence[str]) -> None:
        """Remove values."""
        for key in keys:
            (self._folder / key).unlink(missing_ok=True)

    def yield_keys(self, *, prefix: str | None = None) -> Iterator[str]:
        """Yield all keys."""
        yield from (path.name for path in self._folder.glob(f"{prefix or ''}*"))
