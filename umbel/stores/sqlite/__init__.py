"""One SQLite file that keeps messages, records and who holds what, for all processes of a machine."""
