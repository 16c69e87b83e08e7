"""Environments, the backends that step them, and the actors that collect experience."""
