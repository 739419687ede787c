"""What ``infra/bench queue`` is made of."""
