"""Speaks AMQP 0-9-1 with a server, for the broker and for results by rpc."""
