"""What others wrote, read within limits: JSON, text files and documents."""
