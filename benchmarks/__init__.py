"""Measurements of speed and memory; `vicmae benchmark` runs them."""
