"""Stores: each keeps both messages and records, and serves a broker and a result backend."""
