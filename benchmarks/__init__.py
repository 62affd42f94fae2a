"""Measurements of speed and memory; not installed. Run them with run.py."""
