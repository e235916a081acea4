"""Brokers: adapters that keep messages."""
