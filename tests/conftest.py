"""What holds for all tests."""

from hypothesis import settings

# How long an example takes says what else the machine does: a slow one is no failure. pytest's timeout ends what hangs.
settings.register_profile("joyn", deadline=None)
settings.load_profile("joyn")
