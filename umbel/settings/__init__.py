"""Settings: what can be set, where values come from, and where a project keeps its files."""
