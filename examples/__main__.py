"""Starts the demo; while its modules load, ctrl-C ends it as quietly as later."""

import sys


def main() -> int:
    """Run ``examples.imports``, which is the part to read."""
    try:
        from examples import imports
    except KeyboardInterrupt:
        return 130
    return imports.main()


if __name__ == "__main__":
    sys.exit(main())
