"""Stages: each takes a configuration and a folder, and is the only place that jits and writes."""
