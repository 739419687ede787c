"""Who may come in: login, passwords, wrong guesses, deleted users."""
