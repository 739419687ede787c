"""What ``infra/bench transfer`` measures, one phase a module."""
