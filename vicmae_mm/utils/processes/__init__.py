"""Calls in separate processes, where they may crash or hang."""
