from typing import Any

from ckv.core.records import Table

class Server:
    def __init__(self, table: Table, absent: Table, *, max_value_bytes: int) -> None: ...
    def serve_all(self, inbox: list[Any], /) -> list[bytes | tuple[bytes, int, int]]: ...
