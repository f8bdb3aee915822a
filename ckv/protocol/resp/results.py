"""Results of the methods of a node into answers of RESP."""

from __future__ import annotations

from typing import Any

from ckv.protocol.resp.client import RespClient
from ckv.protocol.resp.replies import OK, ONE, ZERO, bulk, integer


def value_reply(session: RespClient, result: Any) -> bytes:
    """Of ``[found, value]``."""
    found, value = result
    return bulk(value) if found else session.nil


def ok_reply(_session: RespClient, _result: object) -> bytes:
    return OK


def flag_reply(_session: RespClient, result: object) -> bytes:
    return ONE if result else ZERO


def number_reply(_session: RespClient, result: Any) -> bytes:
    return integer(result)


def text_reply(_session: RespClient, result: Any) -> bytes:
    return bulk(result)


def written_reply(session: RespClient, result: Any) -> bytes:
    """Of ``[written, found, old]``: whether it was written."""
    return OK if result[0] else session.nil


def written_flag_reply(_session: RespClient, result: Any) -> bytes:
    return ONE if result[0] else ZERO


def old_reply(session: RespClient, result: Any) -> bytes:
    """Of the same: what was there before."""
    return bulk(result[2]) if result[1] else session.nil


def counted_reply(session: RespClient, result: Any) -> bytes:
    """Of ``[counted, sum]``."""
    counted, total = result
    return integer(total) if counted else session.nil
