"""The tests of Redis and of Valkey themselves, run against ckv.

They are scripts in Tcl, which ``.ci/redis-tests`` gets; nothing of them is kept here but the names of the tests.
"""
