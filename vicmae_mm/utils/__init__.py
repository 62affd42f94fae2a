"""General helpers, independent of videos and models: files, seeds, errors, processes."""
