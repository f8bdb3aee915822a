"""Ways to break the compiled rows of a statement. See :mod:`tests.core.mutations`."""

from __future__ import annotations

from tests.support.mutations import Mutation

MUTATIONS = (
    Mutation(
        "rows-by-length",
        "a key that another one begins with comes first",
        "ckv/core/literals.pyx",
        "a.key_bytes > b.key_bytes",
        "a.key_bytes < b.key_bytes",
    ),
    Mutation(
        "rows-as-given",
        "rows are in the order of their keys' bytes",
        "ckv/core/literals.pyx",
        "        qsort(found, count, sizeof(Row), in_order)\n",
        "",
    ),
    Mutation(
        "signed-digits",
        "a byte of any value has its own digits",
        "ckv/core/literals.pyx",
        "DIGITS[2 * <uint8_t>data[number]]",
        "DIGITS[2 * (data[number] & 127)]",
    ),
    Mutation(
        "end-of-another",
        "each row has its own expiry, wherever its key comes",
        "ckv/core/literals.pyx",
        "lasts[row.last]",
        "lasts[at + 1 if row.last else 0]",
    ),
    Mutation(
        "end-untold",
        "the type says that the expiry counts",
        "ckv/core/literals.pyx",
        "                row.kind += TYPE_EXPIRES if when is not None else 0\n",
        "",
    ),
)
