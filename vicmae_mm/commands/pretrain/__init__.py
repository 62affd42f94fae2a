"""``vicmae pretrain``: from videos or photos to a config, its settings chosen from the data."""
