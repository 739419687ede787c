"""``lab-agent setup``: ask what this computer needs to know, and write it down."""
