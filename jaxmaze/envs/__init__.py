"""Environments: one file a backend, and the one place where that backend is imported."""
