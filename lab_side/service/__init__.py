"""The agent as a service of the system: started with the computer, watched, and restarted.

``notify``   what a running agent tells the service manager
``unit``     the unit file of systemd
``systemd``  installing, starting, stopping and removing it
"""
