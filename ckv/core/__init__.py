"""The hot path in C, by way of Cython: only what is hot, and each part with a twin in plain Python.

:data:`ckv.store.memory.COMPILED` tells whether this process runs on it.
"""
