"""The commands of Redis over the methods of a node: which there are, what each does, and what is refused and why.

They live on the same handlers that msgpack-RPC uses, so a primary and a secondary have the same ones.
"""
