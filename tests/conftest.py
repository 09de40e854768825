"""What all tests share."""

from hypothesis import settings

# The same examples every time, and no timed examples: a slow machine must not fail a test.
settings.register_profile("exact", deadline=None, derandomize=True)
settings.load_profile("exact")
