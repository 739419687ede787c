"""What the viewer draws: slices, volumes, a SEG laid over them."""
