"""Videos: policies side by side on one seed."""
