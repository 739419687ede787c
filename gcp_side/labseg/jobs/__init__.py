"""A job's life at the site: submit, refresh, publish; ``services`` is the only writer of rows."""
