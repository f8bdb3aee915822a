"""A secondary: the records of its share of the keys, served from memory and backed by the persistent tier."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from functools import partial
from typing import Any, Final, cast

import gevent

from ckv import core, events
from ckv.address import Address
from ckv.cluster import roster
from ckv.cluster.directory import OWNERS
from ckv.cluster.view import NO_SLOTS, View
from ckv.commands import COMMANDS
from ckv.net.connecting import connect_by, log_in_as
from ckv.node import picture, readiness
from ckv.node.answers import NOT_FOUND, answer_read, answer_write
from ckv.node.auditing import Audits, entry
from ckv.node.bigkeys import BigKeys
from ckv.node.daytime import now_ms
from ckv.node.direct import DirectClients, ask_the_primary
from ckv.node.emptying import Emptying
from ckv.node.expiring import expiry_handlers
from ckv.node.figures import Info, of_name, of_store, of_workers
from ckv.node.guard import between_turns
from ckv.node.handlers import own, pong
from ckv.node.hotkeys import HotKeys
from ckv.node.joining import Joining
from ckv.node.naming import Naming
from ckv.node.node import Node, Wait
from ckv.node.reloading import Reloading, of_secondary
from ckv.node.saving import Saves, save_handler
from ckv.node.scanning import Scans
from ckv.node.share import Others, OwnShare, view_of
from ckv.node.steps import step_handlers
from ckv.node.sweeping import Sweeper
from ckv.node.turns import Turns
from ckv.node.updates import update_handlers
from ckv.node.workers import Workers
from ckv.persistent.opening import is_shared, open_tier
from ckv.protocol.greeting import HELLO, Share
from ckv.protocol.handler import LATER, NO_CORES, Caller, Cores, Handler
from ckv.protocol.limits import MAX_IN_FLIGHT_OF_A_NODE, Limits
from ckv.protocol.quick import BATCH_BOUNDS
from ckv.protocol.session import Session
from ckv.settings.parsers import NO_TIER
from ckv.settings.roles import SecondarySettings
from ckv.store import Records
from ckv.store.alone import MemoryStore
from ckv.store.loading import Load
from ckv.store.memory import POLICIES
from ckv.store.modes import MODES
from ckv.store.pending import Pending
from ckv.store.store import Store
from ckv.store.tiers import Environment
from ckv.store.waiting import Waiting
from ckv.values import BYTES_PER_CHARACTER, SURELY_FITS, checked_key, checked_value

log = logging.getLogger(__name__)

FILES_OF_A_SESSION: Final = 4
"""Open files for each connection to the persistent tier: SQLite has the file, its log, its index and a journal."""

FILES_TO_JOIN: Final = 2
"""The connections over which it asks its primary, and tells another secondary."""

EXPIRE_EVERY: Final = 0.1
"""Seconds between two looks for requests that have waited too long."""


def run(settings: SecondarySettings) -> int:
    """Runs the role until it is told to stop; the exit code. Raises BadSetting."""
    log_in_as(settings.account)
    connect_by(settings.certificates)
    workers = None
    if settings.persistent != NO_TIER:
        tier = open_tier(settings.persistent)
        tier.max_value_bytes = settings.max_value_bytes
        workers = Workers(tier, settings.pool_size, settings.load_timeout)
    limits = Limits(
        max_value_bytes=settings.max_value_bytes,
        max_connections=settings.max_connections,
        max_in_flight=MAX_IN_FLIGHT_OF_A_NODE,
    )
    # Each worker of the pool has one session to load and one to write, and one session helps out. One more, because an
    # old one may still be closing while its worker connects anew; and one each for the name, purges, walks and copies.
    files = FILES_OF_A_SESSION * (2 * settings.pool_size + 6) if workers is not None else 0
    files += FILES_TO_JOIN
    node = Node(
        "secondary",
        limits,
        settings.drain_timeout,
        files,
        lambda: store.measured().held_bytes,
        keys_max=settings.keys_max,
        slow_time=settings.slow_time,
        http=settings.http,
        users=settings.users,
        certificates=settings.certificates,
        rereads=settings.rereads,
    )
    naming = _naming(node, workers, lambda: store.unsaved)
    store = _store(settings, workers)
    audits = Audits(store, time.monotonic)
    walker = workers.walker if workers is not None else None
    joining = _joining(node, settings, limits, store, workers, naming)
    guard = joining.guard
    reloading = Reloading(settings, of_secondary(node, store, joining))
    node.reread = reloading.reload
    scans = Scans(store, walker, lambda: own_share.share, time.monotonic, joining.member)
    sweeper = Sweeper(store, time.monotonic)
    emptying = Emptying(store, scans, settings.allow_flush, settings.load_timeout, time.monotonic, guard.serves)

    saves = Saves(store, time.monotonic, gevent.spawn_later)
    hot = HotKeys(time.monotonic, node.slow.latencies)

    def expire() -> None:
        store.expire()
        saves.expire()
        audits.expire()
        scans.expire()
        emptying.expire()
        own_share.look()
        hot.tick()
        if workers is not None:
            workers.look()
        sweeper.look()

    def figures() -> Info:
        return (
            node.figures()
            | of_name(naming, settings, own_share.share)
            | of_store(store, reloading.settings)
            | of_workers(workers, settings.pool_size)
            | joining.figures()
        )

    def drawn() -> picture.Picture:
        if joining.member.joined:
            return picture.of_member(joining.member, joining.primaries)
        name = str(of_name(naming, settings, None)["name"])
        return picture.of_share(name, node.address, own_share.share, joining.primaries)

    agree = naming.agree if naming is not None and is_shared(settings.persistent) else None
    loops = serve_loops(store, settings.max_value_bytes, hot)
    resp_loop: Any = loops.resp

    def show(view: View | None, others: Others) -> None:
        if resp_loop is not None:
            resp_loop.serve_only(view.served if view is not None else NO_SLOTS)
        node.placing.view = view
        node.placing.health = lambda number: "refused" if number + 1 in others.refused else "online"

    def begins(share: Share, others: Others) -> None:
        show(view_of(share, others, node.placing.view, is_agreed=False), others)

    def told(share: Share, others: Others) -> None:
        show(view_of(share, others, node.placing.view, is_agreed=True), others)

    own_share = OwnShare(store, agree, told, begins)

    def joined() -> None:
        node.placing.view = joining.view()

    joining.member.when_told = joined
    node.placing.serves = joining.serves
    joining.has_list = lambda: own_share.is_agreed
    checks = {"part": lambda: readiness.part(joining.member, joining.has_list, time.monotonic())}
    if workers is not None:
        health = workers.health
        checks["database"] = lambda: readiness.database(health)
    expiry = node.loop.timer(EXPIRE_EVERY, EXPIRE_EVERY)
    expiry.start(expire)
    try:
        return node.serve(
            Address(settings.bind, settings.port),
            record_handlers(store, settings.max_value_bytes, hot)
            | {name: guard.when_settled(handler) for name, handler in scans.handlers.items()}
            | {"FLUSH": guard.when_settled(emptying.flush)}
            | operator_handlers(store, audits, workers)
            | {"SAVE": save_handler(saves, guard), "BIG": BigKeys(store.memory, Turns().add).big}
            | {"HOT": own("HOT", lambda count: [["", "", hot.told(count)]])}
            | {OWNERS: ask_the_primary},
            f"primary={','.join(map(str, settings.primaries))} "
            f"capacity={settings.capacity} memory_max={settings.memory_max} "
            f"policy={settings.policy} persistent={workers.tier.name if workers is not None else 'none'} "
            f"workers={settings.pool_size} write_mode={settings.write_mode}",
            lambda wait: _save_all(store, workers, naming, wait),
            loops,
            naming,
            settings.name,
            {HELLO: between_turns(own_share.hello)}
            | DirectClients(joining.member.identity, guard, own_share).handlers
            | joining.handlers,
            joining,
            figures=figures,
            checks=checks,
            picture=drawn,
        )
    finally:
        expiry.stop()
        joining.end()
        if workers is not None:
            workers.close()
        if naming is not None:
            naming.end()


def _naming(node: Node, workers: Workers | None, unsaved: Callable[[], int]) -> Naming | None:
    """What claims the name of the node. Until it is ours the workers carry nothing."""
    if workers is None:
        return None
    health = workers.health

    def reachable() -> bool | None:
        return None if health.state == "connecting" else health.answers

    naming = Naming(workers.tier, reachable, lambda: unsaved() if node.stopping else None, node.admit)
    naming.when_ours = workers.go_on
    naming.when_lost = node.lost_name
    workers.hold()
    return naming


def _joining(
    node: Node,
    settings: SecondarySettings,
    limits: Limits,
    store: Records,
    workers: Workers | None,
    naming: Naming | None,
) -> Joining:
    """The part of the node in a cluster that it may join."""
    if isinstance(store, MemoryStore):
        return Joining(node.loop, settings, limits, store, None, roster.NO_TIER)
    assert isinstance(store, Store)
    assert workers is not None
    tier = workers.tier
    if is_shared(settings.persistent):
        joining = Joining(node.loop, settings, limits, store, naming, tier.name)
    else:
        joining = Joining(node.loop, settings, limits, store, naming, roster.OWN_TIER, tier)
    workers.may_tell = joining.may_tell
    if naming is not None:
        naming.when_ours = partial(joining.open_file, naming.when_ours)
    return joining


def _store(settings: SecondarySettings, workers: Workers | None) -> Records:
    """The store of the write mode, with the workers at work; without them there is no persistent tier."""
    memory = POLICIES[settings.policy](settings.capacity, settings.memory_max)
    if workers is None:
        log.warning(events.NO_DATABASE)
        return MemoryStore(memory, now_ms)
    environment = Environment(
        clock=time.monotonic,
        now_ms=now_ms,
        wake=workers.wake,
        wake_loads=workers.wake_loads,
        load_timeout=settings.load_timeout,
        pending_wait=settings.pending_wait,
        write_delay=settings.write_delay,
        write_batch=settings.write_batch,
    )
    pending = Pending(settings.pending_max, settings.pending_max_bytes)
    store = MODES[settings.write_mode](memory, pending, environment)
    workers.start(store)
    return store


def _save_all(store: Records, workers: Workers | None, naming: Naming | None, wait: Wait) -> int:
    parked = store.parked
    if parked and workers is not None:
        workers.renew()
    store.drain_begin()
    if naming is not None:
        naming.beat()
    log.info(events.DRAIN_SAVES, store.unsaved, parked)
    wait(lambda: store.unsaved == store.parked)
    if store.parked:
        log.error(events.DRAIN_REFUSED, store.parked)
    return store.unsaved


def serve_loops(store: Records, max_value_bytes: int, hot: HotKeys | None = None) -> Cores:
    """What answers the requests that memory alone decides, over one table; nothing without the compiled modules."""
    if not core.COMPILED:
        return NO_CORES
    from ckv.core import serve, serve_resp
    from ckv.core.records import Table

    table, absent = cast(Table, store.memory), cast(Table, store.absent)
    rpc = serve.Server(table, absent, max_value_bytes=max_value_bytes, **BATCH_BOUNDS)
    resp = serve_resp.Server(table, absent, max_value_bytes=max_value_bytes)
    if hot is not None:
        hot.watch(rpc)
        hot.watch(resp)
    return Cores(rpc, resp)


def record_handlers(store: Records, max_value_bytes: int, hot: HotKeys | None = None) -> dict[str, Handler]:
    """All methods of the command table that are about records, over a store; ``hot`` is told of keys."""
    single = handlers(store, max_value_bytes) | expiry_handlers(store, max_value_bytes, now_ms)
    single = hot.noting(single) if hot is not None else single
    return single | step_handlers(store, single, max_value_bytes)


def handlers(store: Records, max_value_bytes: int) -> dict[str, Handler]:
    """The methods of the command table that clients live on, over a store."""
    value_surely_fits = max_value_bytes // BYTES_PER_CHARACTER
    memory_get = store.memory.get
    memory_overwrite = store.memory.overwrite

    def get(caller: Caller, msgid: int, params: tuple[object, ...]) -> object:
        try:
            (key,) = params
        except ValueError:
            raise COMMANDS["GET"].wrong_count(params) from None
        if type(key) is not str or len(key) > SURELY_FITS:
            key = checked_key(key)
        # As store.get(), in two steps: most GETs end with the first.
        value = memory_get(key)
        if value is not None:
            return (True, value)
        return get_elsewhere(caller, msgid, key)

    # Apart from get(), whose arguments would have to be made fit for the lambda in every call.
    def get_elsewhere(caller: Caller, msgid: int, key: str) -> object:
        elsewhere = store.get_elsewhere(key)
        if elsewhere is None:
            return NOT_FOUND
        if isinstance(elsewhere, Waiting):
            answer_read(caller, msgid, elsewhere, None, lambda found: NOT_FOUND if found is None else (True, found))
            if isinstance(elsewhere, Load) and isinstance(caller, Session):
                store.asked_by(elsewhere, caller)
            return LATER
        return (True, elsewhere)

    def put(caller: Caller, msgid: int, params: tuple[object, ...]) -> object:
        try:
            key, value = params
        except ValueError:
            raise COMMANDS["PUT"].wrong_count(params) from None
        if type(key) is not str or len(key) > SURELY_FITS:
            key = checked_key(key)
        if (type(value) is not str and type(value) is not bytes) or len(value) > value_surely_fits:
            value = checked_value(value, max_value_bytes)
        # In two steps as well: a key that is in memory needs no more, where memory may do it.
        if memory_overwrite(key, value):
            return True
        accepted = store.put(key, value)
        if accepted is True:
            return True
        answer_write(caller, msgid, accepted, None)
        return LATER

    def delete(caller: Caller, msgid: int, params: tuple[object, ...]) -> object:
        try:
            (key,) = params
        except ValueError:
            raise COMMANDS["DEL"].wrong_count(params) from None
        existed = store.delete(checked_key(key))
        if type(existed) is bool:
            return existed
        answer_write(caller, msgid, existed, None)
        return LATER

    return {"PUT": put, "GET": get, "DEL": delete, "PING": pong} | update_handlers(store, max_value_bytes)


def operator_handlers(store: Records, audits: Audits, workers: Workers | None = None) -> dict[str, Handler]:
    """The methods of the command table that look after a store."""

    def retry() -> int:
        if workers is not None:
            workers.renew()
        count = store.retry_parked()
        log.info(events.ROWS_QUEUED, count)
        return count

    def peek(key: object) -> object:
        key = checked_key(key)
        return entry(key, store.locate(key))[1:]

    return {"RETRY": own("RETRY", retry), "PEEK": own("PEEK", peek), "AUDIT": own("AUDIT", audits.next)}
