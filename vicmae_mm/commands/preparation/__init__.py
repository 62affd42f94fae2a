"""Preparing a dataset on disk: what the scripts of ``tools/data`` are made of."""
