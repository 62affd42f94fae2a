"""Checkpoint files: reading them safely, judging them, choosing one, converting them."""
