"""Serves messages from a Redis server."""

from __future__ import annotations

from umbel.brokers.redis.broker import RedisBroker

__all__ = ["RedisBroker"]
