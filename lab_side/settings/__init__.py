"""The agent's settings and secrets: where they come from, how they are checked and written."""
