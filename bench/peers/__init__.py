"""The queues that are measured beside each other, the one that is judged first."""

PEERS = {"umbel": "bench.peers.umbel_sqlite", "Huey": "bench.peers.huey_sqlite"}

HASTY = "Huey, 1 ms"
"""The same with a fifth of the pauses: for round trips, and what they cost while nothing is to do."""
