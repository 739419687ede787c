"""Parts of every HTTP client of the program: deadlines, proxies, no ``.netrc``."""
