"""The small project around the app: settings from the environment, addresses, WSGI."""
