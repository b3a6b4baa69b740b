"""What holds for all tests."""

from hypothesis import settings

# A busy machine makes single examples slow; how fast things are is measured by benchmarks.
settings.register_profile("no_deadline", deadline=None)
settings.load_profile("no_deadline")
