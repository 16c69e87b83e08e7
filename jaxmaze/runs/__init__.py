"""Runs: what lies on disk and on the screen, from a folder's files to tables and figures."""
