"""Property tests here have no deadline and try the same examples each time: a busy machine is no finding."""

from hypothesis import settings

settings.load_profile("ci")
