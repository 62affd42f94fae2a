"""What the command-line tools are made of. No other package may import it."""
