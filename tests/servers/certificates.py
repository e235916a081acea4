"""Certificates of servers that speak encrypted, made anew for each test."""

from __future__ import annotations

from pathlib import Path

import trustme


class Certificates:
    """Files in ``folder``: an authority ``ca``, and what it signed, which is a ``server`` with its ``key``, and a
    ``client`` with its key in the same file. ``stranger`` is an authority that signed nobody here.
    """

    def __init__(self, folder: Path) -> None:
        self.ca, self.stranger = folder / "ca.pem", folder / "stranger.pem"
        self.server, self.key, self.client = folder / "server.pem", folder / "server.key", folder / "client.pem"
        ca = trustme.CA()
        ca.cert_pem.write_to_path(self.ca)
        trustme.CA().cert_pem.write_to_path(self.stranger)
        server = ca.issue_cert("127.0.0.1")
        server.cert_chain_pems[0].write_to_path(self.server)
        server.private_key_pem.write_to_path(self.key)
        ca.issue_cert("client@example.org").private_key_and_cert_chain_pem.write_to_path(self.client)

    def for_redis(self) -> list[tuple[str, str]]:
        """The settings of a Redis server or sentinel, by name."""
        files = {"tls-cert-file": self.server, "tls-key-file": self.key, "tls-ca-cert-file": self.ca}
        return [(name, str(file)) for name, file in files.items()]
