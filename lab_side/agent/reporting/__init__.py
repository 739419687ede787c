"""What the agent says of itself: status, counters, the daily line, metrics."""
