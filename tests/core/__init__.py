"""The compiled core: beside its twins, broken on purpose, and under sanitizers."""
