"""Calls in processes of their own, where they may crash or hang."""
