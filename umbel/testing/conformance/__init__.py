"""Conformance suites: what every adapter must do, as test classes to subclass.

A third-party adapter subclasses the suites of the ports that it offers and overrides their fixtures::

    class TestMyBroker(BrokerConformance):
        @pytest.fixture
        def make_broker(self, server):
            return lambda: MyBroker(server.url, {})

The tests are coroutines on asyncio and run with anyio's pytest plugin.
"""

from __future__ import annotations

import pytest

pytest.register_assert_rewrite(
    "umbel.testing.conformance.backend",
    "umbel.testing.conformance.broker",
    "umbel.testing.conformance.bus",
    "umbel.testing.conformance.consumer",
    "umbel.testing.conformance.dead_letters",
    "umbel.testing.conformance.joins",
    "umbel.testing.conformance.keeping",
    "umbel.testing.conformance.marks",
    "umbel.testing.conformance.places",
    "umbel.testing.conformance.progress",
    "umbel.testing.conformance.queues",
    "umbel.testing.conformance.withdraw",
)
