"""What every HTTP client of the program shares: deadlines, proxies, no ``.netrc``."""
