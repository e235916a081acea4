"""Serves messages from a RabbitMQ server."""
