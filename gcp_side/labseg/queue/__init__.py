"""The queue as the site reaches it, and the one that the site keeps itself, in its database."""
