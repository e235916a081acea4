"""The queues that are measured beside each other, by the broker on which they are; the one that is judged first."""

CELERY = {
    "Celery, prefetch 64": "bench.peers.celery_server:64 late",
    "Celery, prefetch 4": "bench.peers.celery_server:4 late",
    "Celery, prefetch 1": "bench.peers.celery_server:1 late",
    "Celery, as it comes": "bench.peers.celery_server:4 early",
}
"""It acknowledges after the task, as umbel does, except as it comes: then before, and a crash loses what was begun."""

OTHERS = {
    "sqlite": {"Huey": "bench.peers.huey_sqlite"},
    "rabbitmq": {"Dramatiq": "bench.peers.dramatiq_rabbitmq", "Taskiq": "bench.peers.taskiq_rabbitmq"},
    "redis": {
        "Dramatiq": "bench.peers.dramatiq_redis",
        "Taskiq": "bench.peers.taskiq_redis",
        "RQ": "bench.peers.rq_redis",
        "SAQ": "bench.peers.saq_redis",
        "arq": "bench.peers.arq_redis",
        "Huey": "bench.peers.huey_redis",
    },
}
"""Beside Celery, by broker."""

APART = {"bench.peers.arq_redis": "arq"}
"""Environments, by module, of those that want other versions of what the others need, too."""

RAW = "raw frames"
"""No queue but the limit of the server: bytes published, delivered and acknowledged, and nothing done with them."""

PEERS = {
    "sqlite": {"umbel": "bench.peers.umbel_sqlite", **OTHERS["sqlite"]},
    "rabbitmq": {
        "umbel": "bench.peers.umbel_server",
        **CELERY,
        **OTHERS["rabbitmq"],
        RAW: "bench.peers.raw_rabbitmq",
    },
    "redis": {
        "umbel": "bench.peers.umbel_server",
        **CELERY,
        **OTHERS["redis"],
    },
}

HASTY = "Huey, 1 ms"
"""The same with a fifth of the pauses: for round trips, and what they cost while nothing is to do."""
