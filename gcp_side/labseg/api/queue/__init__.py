"""The endpoint of the queue that the site keeps itself."""
