"""How the demo network was trained, tuned and measured."""
