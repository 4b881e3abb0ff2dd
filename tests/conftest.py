"""What all tests share."""

import signal

from hypothesis import settings

# A busy machine is no failure: an example may take as long as it needs.
settings.register_profile("voxtral", deadline=None)
settings.load_profile("voxtral")

# Started in the background, a process ignores Ctrl-C, and so does all that it starts.
signal.signal(signal.SIGINT, signal.default_int_handler)
