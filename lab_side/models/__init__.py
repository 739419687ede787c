"""Loading networks and their weights. Only the GPU worker process imports this package."""
