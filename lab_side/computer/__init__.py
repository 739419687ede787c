"""This computer: the account, the memory, the packages that it has."""
