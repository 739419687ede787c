"""What operating systems do: files, limits, signals, the console."""
