from typing import Any

from ckv.core.records import Table

class Arriving:
    @property
    def missing(self) -> int: ...
    @property
    def mark(self) -> bytes: ...
    def read(self, fd: int, size: int, /) -> bytes: ...
    def take(self, data: bytes, /) -> int: ...
    def message(self) -> bytes: ...

class Server:
    def __init__(
        self,
        table: Table,
        absent: Table,
        *,
        max_value_bytes: int,
        batch_requests: int,
        batch_bytes: int,
        bulky_bytes: int,
        last_batch: int,
    ) -> None: ...
    def serve_all(self, inbox: list[Any], /) -> list[bytes | tuple[bytes, int, int]]: ...
    def arrived(self, arriving: Arriving, /) -> bytes | None: ...
