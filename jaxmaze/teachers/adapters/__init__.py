"""Adapters that turn users' teachers into functions from observations to actions, batched."""
