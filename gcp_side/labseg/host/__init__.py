"""The project around the app: its addresses, cache, databases and checks."""
