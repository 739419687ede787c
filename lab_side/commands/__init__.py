"""The commands of ``lab-agent`` that have a module of their own."""
