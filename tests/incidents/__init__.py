"""Incidents of the night: each is begun by a script, and what a node says of it is what is wrong, within ten seconds.

``make incidents`` has all of them written down, with pictures, in ``docs/incidents.md``.
"""
