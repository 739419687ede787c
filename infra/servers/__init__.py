"""Servers on loopback for tests, demo and benches; none outlives the program that started it."""
