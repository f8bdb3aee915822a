from collections.abc import Mapping, Sequence

from ckv.values import Value

def literals(rows: Sequence[tuple[str, Value]], expires: Mapping[str, int], /) -> str: ...
