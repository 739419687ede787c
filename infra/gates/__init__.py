"""What a SEG must pass before it is believed: other people's readers, the truth, a picture."""
