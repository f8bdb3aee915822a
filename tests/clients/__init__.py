"""Clients of Redis, and what is built on them, each doing with ckv what its users do. ``make test-clients`` runs them.

One file for each client. What a client needs and ckv lacks stands in ``expected.py``; ``docs/clients.md`` is made from
that, from the docstrings of the tests, and from the locks.
"""
