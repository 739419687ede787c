"""``lab-agent segment``: one segmentation by hand, without a queue."""
