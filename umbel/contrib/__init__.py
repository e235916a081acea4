"""Faces for web frameworks; each module needs its framework, and is imported by whoever has it."""
