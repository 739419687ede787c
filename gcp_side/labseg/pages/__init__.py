"""The pages: list, viewer, and how they are rendered in any project."""
