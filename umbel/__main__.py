"""Makes ``python -m umbel`` the command ``umbel``."""

from __future__ import annotations

from umbel.cli import run

if __name__ == "__main__":
    run()
