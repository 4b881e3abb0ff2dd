"""What all tests share."""

from hypothesis import settings

# A busy machine is no failure: an example may take as long as it needs.
settings.register_profile("voxtral", deadline=None)
settings.load_profile("voxtral")
