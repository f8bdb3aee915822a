from array import array
from typing import Any

from ckv.core.lane import Lane

def slot_of_bytes(key: bytes) -> int: ...

class Router:
    @property
    def requests(self) -> int: ...
    def __init__(
        self,
        owners: array[int],
        lanes: list[Lane | None],
        *,
        batch_requests: int,
        batch_bytes: int,
        bulky_bytes: int,
    ) -> None: ...
    def route_by(self, owners: array[int], lanes: list[Lane | None]) -> None: ...
    def count_calls(self, counts: bool) -> None: ...
    def serve_all(self, inbox: list[Any], /) -> list[bytes | tuple[bytes, int, int]]: ...

class RespRouter(Router): ...
