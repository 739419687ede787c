"""What builds, runs and checks the project on a developer's machine."""
