"""How bytes look: messages, results and exceptions as they travel, byte-compatible with Celery 5."""
