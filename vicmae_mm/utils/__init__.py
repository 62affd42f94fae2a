"""What knows nothing of videos or models: files, seeds, errors, processes."""
