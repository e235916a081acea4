"""Serves messages from a RabbitMQ server."""

from __future__ import annotations

from umbel.brokers.amqp.broker import AmqpBroker

__all__ = ["AmqpBroker"]
