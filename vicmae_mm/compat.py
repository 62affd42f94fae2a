"""Mends of upstream faults (placeholder while being written)."""


def apply() -> None:
    """Apply every mend once."""
