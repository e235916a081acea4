"""Result backends: adapters that keep records."""
