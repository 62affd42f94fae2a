"""Preparing a dataset on disk: the code behind the scripts of ``tools/data``."""
