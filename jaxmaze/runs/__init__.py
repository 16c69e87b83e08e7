"""Runs: files in a run's folder, tables, figures and console output."""
