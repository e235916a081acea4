"""umbel: a distributed task queue. Names are resolved on first use, so that importing it costs next to nothing."""
