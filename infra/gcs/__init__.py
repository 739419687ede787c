"""The cloud bucket as a queue: its set-up (``setup``), rights, lifecycle, and what it costs."""
