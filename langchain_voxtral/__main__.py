"""`python -m langchain_voxtral`: the command, for where scripts are not on the path."""

import sys

from langchain_voxtral.cli import main

sys.exit(main())
