"""Where a runner calls tasks: one module a pool."""
