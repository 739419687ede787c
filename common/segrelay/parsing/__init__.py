"""Reads foreign bytes within limits: JSON, text files and documents."""
