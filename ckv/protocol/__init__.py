"""What the bytes between nodes and clients mean. Nothing here knows a socket, a loop or a greenlet."""
