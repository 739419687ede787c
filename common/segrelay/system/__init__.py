"""Operating systems: files, limits, signals, the console."""
