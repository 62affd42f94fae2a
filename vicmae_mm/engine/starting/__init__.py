"""What a training starts from, and in which work dir."""
