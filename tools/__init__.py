"""Checks that `dev.py check` runs beside the linters."""
