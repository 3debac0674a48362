"""What the commands do, free of the command line."""
