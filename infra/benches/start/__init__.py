"""What ``infra/bench start`` is made of.

``bench``  the bench
``demo``   phase: all servers of the demo
"""
