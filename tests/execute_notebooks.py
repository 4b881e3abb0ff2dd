"""Execute the notebooks and store their outputs: `python tests/execute_notebooks.py [NAME ...]`."""

import sys

import nbformat
from support.notebooks import NOTEBOOKS, execute

if __name__ == "__main__":
    for path in NOTEBOOKS:
        if path.stem in sys.argv[1:] or len(sys.argv) == 1:
            nbformat.write(execute(path), path)  # type: ignore[no-untyped-call]
