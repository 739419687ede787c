"""Others' queues: imported only where their packages are installed, in a venv of their own."""
