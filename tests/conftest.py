"""Settings of all tests."""

import os
import signal

from hypothesis import settings

# An example may take as long as it needs: a slow machine is not a failure.
settings.register_profile("voxtral", deadline=None)
settings.register_profile("quick", parent=settings.get_profile("voxtral"), max_examples=20)
settings.load_profile("voxtral")

# A process that was started in the background ignores Ctrl-C, and so do its children.
signal.signal(signal.SIGINT, signal.default_int_handler)

# Ray would report that it is used, over the network.
os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
