"""Serves messages from an SQLite file to every process of the machine."""

from __future__ import annotations

from umbel.brokers.sqlite.broker import SqliteBroker

__all__ = ["SqliteBroker"]
