"""Programs of the distribution, without installing them."""
