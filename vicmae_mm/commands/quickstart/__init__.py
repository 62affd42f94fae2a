"""Pre-training in ten minutes on two CPU cores, from clips to a report."""
