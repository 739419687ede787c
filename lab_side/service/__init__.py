"""The agent as a service of the system: started with the computer, watched, and restarted.

``notify``   messages of a running agent to the service manager
``needs``    what the account of a service must be able to read and write
``backend``  what every service manager can do, and which one is here
``unit``     the unit file of systemd
``systemd``  installing, starting, stopping and removing it
``windows``  the same with the service manager of Windows
``windows_registration``  the service that is handed to it, and its text
``windows_rights``  administrator, account and access to files there
``hosted``   the agent without terminal and signals, as Windows runs it
``scm``      what the service is called there
``windows_host``  the program that Windows starts
"""
