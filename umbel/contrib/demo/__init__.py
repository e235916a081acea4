"""The demo: a page whose buttons start tasks, with a worker beside it and nothing else."""
