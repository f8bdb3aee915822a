"""The one table of what the log tells at the level info and above: docs/events.md is made from it.

Each name and each field stays as it is, for programs look for them; texts may change. What a client, or a defect, can
cause as often as it likes is logged once a minute (:class:`ckv.logs.Sparing`).
"""

from __future__ import annotations

from typing import Final

from ckv.event import Event

# fmt: off

# --- the process -----------------------------------------------------------------------------------------------------

READY: Final = Event("ready", "info", "%(role)s ready on %(address)s core=%(core)s %(settings)s",
    "The node has started, and answers. A secondary serves when a primary has it in its list or has dealt it slots.")
HTTP_READY: Final = Event("http-ready", "info", "status page, metrics and health checks are at http://%(address)s",
    "What --http asked for is there.")
CANNOT_LISTEN: Final = Event("cannot-listen", "error", "%(role)s cannot listen on %(address)s: %(reason)s",
    "The node ends with exit code 4. Another process may have the port, or too few open files are allowed.")
HTTP_CANNOT_LISTEN: Final = Event("http-cannot-listen", "error",
    "%(role)s cannot listen on %(address)s, for HTTP: %(reason)s",
    "The node ends with exit code 4. Another process may have the port of --http.")
VARIABLE_UNKNOWN: Final = Event("variable-unknown", "warning", "%(reason)s",
    "A variable whose name begins with CKV_ is read by nobody: it may be misspelt.")
SECRET_EXPOSED: Final = Event("secret-exposed", "warning",
    "others may read or change %(path)s, which has a secret in it: mode %(mode)s",
    "Whoever has an account where the node runs may have the secret. Take the file from them (chmod o=); where it is "
    "mounted, its mode is said there (defaultMode: 0440 of a volume of Kubernetes).")
SIGNAL_STOPS: Final = Event("signal-stops", "warning", "%(signal)s came: the node stops",
    "Somebody has sent a signal that ends a process; the node saves everything first.")
SIGNAL_IGNORED: Final = Event("signal-ignored", "warning", "%(signal)s came and is ignored",
    "Somebody has sent a signal that would end another process.")
DRAIN_BEGUN: Final = Event("drain-begun", "info", "drain begun: %(connections)d connections",
    "The node was told to stop. It answers what it has, and then saves.")
DRAIN_SAVES: Final = Event("drain-saves", "info",
    "drain: %(records)d records to save, %(parked)d of them parked until now",
    "So much is to be written to the database before the node ends.")
DRAIN_REFUSED: Final = Event("drain-refused", "error", "drain: the database still refuses %(records)d records",
    "They are lost when the node ends. The log says why each was refused (row-parked).")
DRAIN_DONE: Final = Event("drain-done", "info", "drain done in %(seconds).1f s",
    "Everything is saved, and the node ends.")
DRAIN_UNFINISHED: Final = Event("drain-unfinished", "error",
    "drain not finished after %(seconds).1f s: %(records)d records left unsaved",
    "The node ends with exit code 3, and these are lost. Was it the time, raise --drain-timeout.")
MANAGER_AWAY: Final = Event("manager-away", "warning",
    "the service manager at %(address)s cannot be told %(what)s: %(reason)s",
    "systemd may take the node for one that has not started, or that hangs.")
PAGE_FAILED: Final = Event("page-failed", "error", "%(path)s could not be answered",
    "A defect of ckv: please report it, with the traceback. The node goes on.")
HTTP_BAD_REQUEST: Final = Event("http-bad-request", "info", "%(peer)s sent what is no request: %(reason).200s",
    "Somebody speaks something else to the port of --http.")
HTTP_DEFECT: Final = Event("http-defect", "error", "a request could not be answered",
    "A defect of ckv: please report it, with the traceback. The node goes on.")
LINES_SUPPRESSED: Final = Event("lines-suppressed", "info", "more lines of one kind came within a minute",
    "The last one of them is in the field last; it has the level that they had. --log-level=debug shows all.")
LINES_LOST: Final = Event("lines-lost", "warning",
    "lines of the log were lost: nobody read them dropped=%(dropped)d",
    "Whoever reads the log is too slow, or its disk is full.")

# --- settings that are read again ------------------------------------------------------------------------------------

SETTINGS_READ: Final = Event("settings-read", "info", "settings read from %(path)s: %(settings)s",
    "SIGHUP came. What follows the name of the file holds from now on.")
SETTINGS_FIXED: Final = Event("settings-fixed", "warning", "a restart is needed for other values of %(settings)s",
    "SIGHUP came, and the file of options has others than the node runs with: it goes on with its own.")
SETTINGS_KEPT: Final = Event("settings-kept", "error", "the settings stay as they were: %(reason)s",
    "SIGHUP came, and something is wrong with the file of options: mend it (ckv config check), and send SIGHUP again.")
USERS_READ: Final = Event("users-read", "info",
    "users read from %(path)s: %(users)d; connections ended: %(connections)d",
    "SIGHUP came. Who may not do the same any more was cut off.")
USERS_KEPT: Final = Event("users-kept", "error", "the users stay as they were: %(reason)s",
    "SIGHUP came, and the file is broken: mend it, and send SIGHUP again.")
CERTIFICATE_READ: Final = Event("certificate-read", "info", "certificate read from %(path)s",
    "SIGHUP came. Whoever connects from now on sees this one.")
CERTIFICATE_KEPT: Final = Event("certificate-kept", "error", "the certificate stays as it was: %(reason)s",
    "SIGHUP came, and a file is broken: mend it before the certificate expires, and send SIGHUP again.")
RELOAD_DEFECT: Final = Event("reload-defect", "error", "unexpected error while reading again: %(what)s",
    "A defect of ckv: please report it, with the traceback. SIGHUP came; all other parts are read again.")

# --- connections -----------------------------------------------------------------------------------------------------

PEER_CONNECTED: Final = Event("peer-connected", "info", "peer %(peer)s connected",
    "A primary has reached one of its secondaries for the first time.")
PEER_BACK: Final = Event("peer-back", "info", "peer %(peer)s back", "A primary has reached a secondary again.")
PEER_UNREACHABLE: Final = Event("peer-unreachable", "warning",
    "peer %(peer)s cannot be reached (%(reason)s); trying on",
    "Calls for the keys of this secondary wait for --node-wait, and then fail. See that it runs, and that its port can "
    "be reached.", PEER_BACK)
PEER_LOST: Final = Event("peer-lost", "warning", "peer %(peer)s lost: %(reason)s",
    "The connection of a primary to a secondary broke; it is made again at once. Calls that were under way have "
    "failed, and nobody knows whether they were carried out.", PEER_BACK)
PEER_STOPPING: Final = Event("peer-stopping", "info", "peer %(peer)s is stopping",
    "A secondary was told to stop. Calls wait for the next one at its address, for --node-wait.")
PLACES_FEW: Final = Event("places-few", "warning",
    "only %(clients)d clients are served at a time, and not --max-connections=%(allowed)d: %(files)d open files are "
    "allowed, of which %(kept)d are kept for the database, other nodes and operators",
    "Raise the limit of open files (LimitNOFILE of systemd, --ulimit of Docker).")
PLACES_TAKEN: Final = Event("places-taken", "warning",
    "connection from %(peer)s refused: all %(clients)d places are taken (--max-connections)",
    "Clients are answered Overloaded; operators are answered. Look who has the places, or allow more.")
CONNECTION_CLOSED: Final = Event("connection-closed", "warning", "connection from %(peer)s closed: %(reason)s",
    "What the client did is the reason. An ordinary end has no line.")
CONNECTION_GONE: Final = Event("connection-gone", "info", "connection from %(peer)s lost at once",
    "A client, or a probe of ports, has reset it before it was served.")
CONNECTIONS_CUT: Final = Event("connections-cut", "warning",
    "%(connections)d connections closed: only %(clients)d clients are served at a time now",
    "Somebody has lowered the limit of open files of the process, or --max-connections: then clients that wait for an "
    "answer go when they have it, and no other node goes.")
CONNECTIONS_CUT_FOR_DRAIN: Final = Event("connections-cut-for-drain", "warning",
    "%(connections)d connections closed: the drain may need their files, and no other can be opened",
    "The process or the system has no open file left while the node stops.")
ACCEPTS_AGAIN: Final = Event("accepts-again", "info", "connections are accepted again", "There are open files again.")
CANNOT_ACCEPT: Final = Event("cannot-accept", "error", "cannot accept connections for now: %(reason)s",
    "The process or the system has no open file or no memory left. Who is connected is served.", ACCEPTS_AGAIN)
LOGIN: Final = Event("login", "info", "login of %(user)s (%(account)s) from %(peer)s", "Somebody has logged in.")
LOGIN_REFUSED: Final = Event("login-refused", "warning", "login as %(user)s from %(peer)s refused",
    "The user or the secret is wrong. Many of them from one address may be somebody who guesses.")
USER_FULL: Final = Event("user-full", "warning",
    "login of %(user)s from %(peer)s refused: it has all of its %(allowed)d connections",
    "The application is answered Overloaded, and others are not kept out. Look whether it closes its connections, or "
    "allow more of them (connections= in the file of users).")
LOGGED_IN_AGAIN: Final = Event("logged-in-again", "info", "logged in again at %(node)s",
    "A primary has logged in with the secret that is good now: at SIGHUP, or where a connection had begun with the old"
    " one. No call was cut off.")
LOGIN_KEPT: Final = Event("login-kept", "error", "the login at other nodes stays as it was: %(reason)s",
    "At SIGHUP the file with the secret of nodes could not be read.")
LOGIN_AT_NODE_REFUSED: Final = Event("login-at-node-refused", "error", "login at %(node)s refused: %(reason)s",
    "A node does not know the secret that this one has read at SIGHUP. The login before stays good.")
COMMAND: Final = Event("command", "info", "%(command)s by %(user)s from %(peer)s",
    "An operator has called a command of the class admin.")
DENIED: Final = Event("denied", "warning", "%(command)s by %(user)s from %(peer)s refused: it may not do that",
    "A user has called what its class does not have, or named a key or a channel without one of its prefixes. An "
    "application that does so needs other rights, or another user; else somebody tries what he can.")
SERVING_DEFECT: Final = Event("serving-defect", "error", "unexpected error while serving %(connections)d connections",
    "A defect of ckv: please report it, with the traceback. These connections end, and the node goes on.")
CONNECTION_DEFECT: Final = Event("connection-defect", "error", "unexpected error while serving %(peer)s",
    "A defect of ckv: please report it, with the traceback. The connection ends, and the node goes on.")
ANSWER_DEFECT: Final = Event("answer-defect", "error", "unexpected error while answering %(peer)s",
    "A defect of ckv: please report it, with the traceback. The connection ends, and the node goes on.")
CALL_DEFECT: Final = Event("call-defect", "error", "unexpected error in %(what)s",
    "A defect of ckv: please report it, with the traceback. The call is answered ServerError, and the node goes on.")
NODES_ANSWER_DEFECT: Final = Event("nodes-answer-defect", "error", "unexpected error in the answers of nodes",
    "A node answered what this one does not understand: they may be of versions that do not go together.")
CLIENT_INDIRECT: Final = Event("client-indirect", "warning",
    "calls go through %(primary)s that were to go to the owners of keys directly: %(reason)s",
    "Logged by ckv.Client, once: all works, and takes longer. Let the client reach the secondaries.")

# --- the database ----------------------------------------------------------------------------------------------------

NO_DATABASE: Final = Event("no-database", "warning", "no persistent node: a record that is evicted is lost",
    "The node was started with - for its persistent node.")
DATABASE_CONNECTED: Final = Event("database-connected", "info", "database connected: %(database)s",
    "The first word of a secondary about its persistent node.")
_AFTER: Final = (
    "after %(seconds).1f s, the last %(state_seconds).1f s of them %(state)s;"
    " %(refused)d calls were refused and %(waited)d waited in vain"
)
DATABASE_AT_LAST: Final = Event("database-at-last", "info", f"database connected: %(database)s: {_AFTER}",
    "The same, after it could not be reached at first.")
DATABASE_BACK: Final = Event("database-back", "info", f"database back: %(database)s: {_AFTER}",
    "All is well again; what waited is written now.")
DATABASE_SLOW: Final = Event("database-slow", "warning", "database slow: %(database)s: %(reason)s",
    "A statement took more than half a second; it is back when none did for five seconds. Look at its disk, its locks "
    "and its log of slow queries.", DATABASE_BACK)
DATABASE_SLOW_NOW: Final = Event("database-slow-now", "warning", f"database slow: %(database)s: %(reason)s; {_AFTER}",
    "It answers again after an outage, and slowly.", DATABASE_BACK)
DATABASE_HUNG: Final = Event("database-hung", "warning", "database hung: %(database)s: %(reason)s; trying on",
    "It takes connections or statements and does not answer. Memory is served; what needs the database fails at once, "
    "and writes wait in memory, up to --pending-max.", DATABASE_BACK)
DATABASE_LOST: Final = Event("database-lost", "warning", "database lost: %(database)s: %(reason)s; trying on",
    "It cannot be reached, or answers with errors. Memory is served; what needs the database fails at once, and writes "
    "wait in memory, up to --pending-max: they are lost if the node dies now.", DATABASE_BACK)
DATABASE_UNREACHABLE: Final = Event("database-unreachable", "warning",
    "database cannot be reached: %(database)s: %(reason)s; trying on",
    "The same, and it was never reached: see whether address, account and password are right.", DATABASE_BACK)
DATABASE_STILL: Final = Event("database-still", "warning",
    "database still %(state)s: %(database)s: %(reason)s; trying on",
    "Each minute of such a trouble, and when there is another reason.", DATABASE_BACK)
DATABASE_OTHER: Final = Event("database-other", "warning",
    "database %(database)s: %(what)s: what memory has is saved again before it leaves",
    "The server, its table or its file is another one than before: after a fail-over or a restore, or for somebody has "
    "replaced it.")
DATABASE_RISKY: Final = Event("database-risky", "warning",
    "database %(database)s: a crash of it may lose what it has committed: %(reason)s",
    "Its settings are less safe than docs/guarantees.md needs: change them.")
CLOCK_DIFFERS: Final = Event("clock-differs", "warning",
    "database %(database)s: its clock is %(seconds).1f s %(what)s ours: records expire by ours",
    "Have NTP set the clocks of both machines.")
PACKET_SMALL: Final = Event("packet-small", "warning",
    "max_allowed_packet of the database is %(packet)d: the %(bytes)d bytes that --max-value-bytes allows need "
    "%(needed)d; what does not fit will be refused: SET GLOBAL max_allowed_packet = %(allowed)d, and then RETRY",
    "Rows with longer values are parked until then.")
TABLE_CREATED: Final = Event("table-created", "info", "created the table %(table)s in %(database)s",
    "The database had none.")
TABLE_UPGRADING: Final = Event("table-upgrading", "warning",
    "upgrading the table %(table)s in %(database)s in place; it was: %(what)s",
    "It is of an older version, or of the original C++ program. This may take as long as copying the table.")
TABLE_UPGRADED: Final = Event("table-upgraded", "info", "upgraded the table %(table)s in %(database)s",
    "The table is of this version now.")
WRITES_TAKEN: Final = Event("writes-taken", "info", "writes find room again", "None was refused for some seconds.")
WRITES_REFUSED: Final = Event("writes-refused", "warning",
    "writes are refused: no room for more that the database has not taken (--pending-max, --pending-max-bytes)",
    "What was accepted is safe in memory, as long as the node lives; reads of it go on. See what is wrong with the "
    "database. Higher bounds in the file of options hold after SIGHUP.", WRITES_TAKEN)
ROWS_UNPARKED: Final = Event("rows-unparked", "info", "no rows are parked any more", "All are saved, or overwritten.")
ROWS_PARKED: Final = Event("rows-parked", "warning", "the database refuses rows, which are parked and not saved",
    "parked_records of INFO has their number, and row-parked says why.", ROWS_UNPARKED)
ROW_PARKED: Final = Event("row-parked", "error",
    "row refused by the database and parked; it stays %(what)s (key of %(characters)d characters): %(reason)s",
    "It is not saved, and lost if the node dies. Do away with the reason, and call RETRY.")
ROW_FORGOTTEN: Final = Event("row-forgotten", "error",
    "row refused by the database and forgotten; its writer is told (key of %(characters)d characters): %(reason)s",
    "With --write-mode=through the writer is answered RowsRefused, and the record is as before.")
ROWS_QUEUED: Final = Event("rows-queued", "info", "retry: %(rows)d parked rows are queued again",
    "Somebody has called RETRY.")
BATCH_FAILED: Final = Event("batch-failed", "warning",
    "the database failed a batch of %(rows)d rows; the next ones are smaller: %(reason)s",
    "They are written in smaller batches, which grow again. Nothing is lost.")
SAVE_BEGUN: Final = Event("save-begun", "info", "save begun: %(records)d records and rows to look at",
    "ckv flush was called.")
SAVE_DONE: Final = Event("save-done", "info",
    "save done: %(records)d records were written; the database refuses %(refused)d more",
    "The database has everything that was accepted before ckv flush, but for what it refuses.")
TIER_DEFECT: Final = Event("tier-defect", "error", "unexpected error between the tiers; trying on",
    "A defect of ckv, or of a driver: please report it, with the traceback.")
WALK_DEFECT: Final = Event("walk-defect", "error", "unexpected error about all keys",
    "A defect of ckv, or of a driver: please report it, with the traceback. SCAN, KEYS or DBSIZE fails.")

# --- names and fences ------------------------------------------------------------------------------------------------

NAME_TAKEN: Final = Event("name-taken", "info", "the name %(node)s is taken, incarnation %(incarnation)d",
    "This process is the only one of its name that can write.")
NAME_WAITS: Final = Event("name-waits", "warning",
    "waiting: another process has the name %(node)s, incarnation %(incarnation)d: %(reason)s",
    "The node answers Starting until that one has ended, or has stood still for 5 s.", NAME_TAKEN)
NAME_UNKNOWN: Final = Event("name-unknown", "warning", "the name %(node)s cannot be claimed yet: %(reason)s",
    "The database does not tell who has the name. Where it is a right that is missing, grant it.", NAME_TAKEN)
SHARE_FREE: Final = Event("share-free", "info", "no other node writes keys of this one any more",
    "The secondary serves its share of the keys.")
SHARE_WAITS: Final = Event("share-waits", "warning", "waiting: %(reason)s",
    "Another node of the same database writes keys of this one's share: all have to be told the same list.", SHARE_FREE)
NAME_KEPT: Final = Event("name-kept", "warning", "the name %(node)s could not be given back: %(reason)s",
    "The next process of this name waits up to 5 s longer.")
NAME_LOST: Final = Event("name-lost", "error",
    "another process has taken the name of the node: %(records)d unsaved records are dropped",
    "The node ends with exit code 5. It stood still for too long, or somebody has started another one of this name.")
PROCESS_FENCED: Final = Event("process-fenced", "warning",
    "the process that had the name %(node)s, incarnation %(incarnation)d, %(reason)s: it is fenced, and cannot write "
    "any more", "It has ended without giving its name back, or stood still: what it had not saved is lost.")
NODE_FENCED: Final = Event("node-fenced", "warning",
    "the node %(node)s has ended, or stood still for %(seconds)g s: it is fenced",
    "It had keys that are this node's now. What it had not saved is lost.")
NODE_GIVEN_UP: Final = Event("node-given-up", "warning",
    "the node %(node)s, incarnation %(incarnation)d, is fenced: the leader gives it up",
    "Its slots go to the others. What it had not saved is lost.")

# --- the cluster -----------------------------------------------------------------------------------------------------

JOINED: Final = Event("joined", "info", "%(what)s the cluster of %(primary)s as %(node)s, incarnation %(incarnation)d",
    "A primary has taken this secondary in; it is dealt slots.")
NOT_TAKEN_IN: Final = Event("not-taken-in", "error", "%(primary)s does not take this node in: %(reason)s",
    "The secondary serves nothing of a cluster until that is mended.", JOINED)
PRIMARY_BACK: Final = Event("primary-back", "info", "primary %(primary)s answers",
    "The secondary is heard again, and hears of the map.")
PRIMARY_AWAY: Final = Event("primary-away", "warning", "primary %(primary)s does not answer: %(reason)s; trying on",
    "The secondary serves what it has, as long as nobody else may; no slots come or go. See that a primary runs "
    "at the address that this node was given.", PRIMARY_BACK)
LIST_NOW: Final = Event("list-now", "error",
    "%(primary)s has a list of its secondaries now, and this node is of a cluster without one",
    "Start the primary without a list, or this node anew.")
SLOTS_GIVEN: Final = Event("slots-given", "info", "all slots are handed over",
    "The node that was told to stop has none any more.")
SLOTS_KEPT: Final = Event("slots-kept", "warning", "%(slots)d slots are not handed over",
    "The node ends with them: the leader gives it up, and others take them. Without a shared database their records "
    "are lost.")
SLOTS_LOST: Final = Event("slots-lost", "warning",
    "%(slots)d slots are another node's without having been handed over",
    "This node was given up while it was away: what it had not saved of them is lost.")
MOVE_STOPPED: Final = Event("move-stopped", "warning", "a move of %(slots)d slots cannot go on: %(reason)s",
    "They stay where they are; the leader tries again later.")
SAVED_BEFORE_JOINING: Final = Event("saved-before-joining", "info", "what was written before the node joined is saved",
    "The secondary serves what it is dealt.")
SAVE_BEFORE_JOINING: Final = Event("save-before-joining", "error",
    "what was written before the node joined cannot be saved, so it serves nothing: %(reason)s",
    "Do away with the reason; it is tried again.", SAVED_BEFORE_JOINING)
FILE_READ: Final = Event("file-read", "info", "the file says what this node has", "The secondary goes on.")
FILE_UNREAD: Final = Event("file-unread", "warning", "the file does not say yet what this node has: %(reason)s",
    "The node serves nothing until its file of SQLite can be read.", FILE_READ)
FILE_OLDER: Final = Event("file-older", "warning",
    "the file is an older one by now: rows of slots that are not this node's are deleted",
    "Somebody has put another file of SQLite in the place of the node's.")
FILE_TAKES: Final = Event("file-takes", "info", "the file takes what this node has to note", "Slots can come again.")
FILE_REFUSES: Final = Event("file-refuses", "warning",
    "the file does not take what this node has to note, so no slots can come: %(reason)s",
    "The disk may be full, or read-only.", FILE_TAKES)
FILE_AWAY: Final = Event("file-away", "warning", "the file of this node does not answer: %(reason)s",
    "A move of slots has to wait for it.")
NODE_FITS: Final = Event("node-fits", "info", "the file of this node is of no other map any more",
    "The secondary serves again.")
NODE_IN_CONFLICT: Final = Event("node-in-conflict", "error", "this node serves nothing: %(reason)s",
    "Its file of SQLite is of another map than that of the primary.", NODE_FITS)
FILES_FIT: Final = Event("files-fit", "info", "no file is of another map any more", "These secondaries serve again.")
FILES_IN_CONFLICT: Final = Event("files-in-conflict", "error",
    "their files are of another map, so these serve nothing: %(node)s",
    "The files of these secondaries are of another cluster, or older or newer than the map of the primary.", FILES_FIT)
LEADS: Final = Event("leads", "info", "leads by the map %(map)s", "This primary deals and moves slots.")
LEADS_LATER: Final = Event("leads-later", "warning",
    "a node has a later map than this primary leads by: it leads again when all have said theirs",
    "Requests go on. No slots move meanwhile (dealing-waits).")
DEALS: Final = Event("deals", "info", "slots are dealt and moved", "This primary waits for nobody any more.")
DEALING_WAITS: Final = Event("dealing-waits", "warning",
    "no slots are dealt or moved yet; this primary waits for %(node)s",
    "A secondary that may know a later map does not answer: start it, or remove it from the database.", DEALS)
ORDER_REFUSED: Final = Event("order-refused", "info", "%(node)s did not do what it was asked (%(method)s): %(reason)s",
    "The leader asks again, or decides otherwise.")
ELECTED: Final = Event("elected", "info", "is elected, in term %(term)d", "This primary leads from now on.")
OTHER_LEADS: Final = Event("other-leads", "info", "%(primary)s leads, in term %(term)d",
    "Another primary leads; this one routes by its map.")
LEADS_NO_MORE: Final = Event("leads-no-more", "warning", "leads no more: %(reason)s",
    "Another primary leads, or will. Requests go on by the map that is known.")
STEPS_DOWN: Final = Event("steps-down", "info", "leads no more: it was told to stop", "Another primary takes over.")
NODE_JOINED: Final = Event("node-joined", "info", "%(node)s has joined, at %(address)s",
    "The leader has taken a secondary in; it is dealt slots.")
NODE_LEFT: Final = Event("node-left", "info", "%(node)s has left", "A secondary was told to stop, and owns nothing.")
NODE_AWAY: Final = Event("node-away", "warning",
    "%(node)s is given up, as it gave no sign of life: its %(slots)d slots are dealt to others, and what it had not "
    "saved is lost", "See why it has ended or hangs, and start it again under its name.")
MOVE_GOES_ON: Final = Event("move-goes-on", "info", "no move of slots stands still any more",
    "It has got on, or was called off.")
MOVE_STUCK: Final = Event("move-stuck", "warning", "%(what)s has not got on for %(seconds)g s",
    "The slots are served where they are, until they are frozen; it is called off in the end. The database of the "
    "secondary that has them may be slow or away, or rows may be locked.", MOVE_GOES_ON)
MOVE_CALLED_OFF: Final = Event("move-called-off", "warning", "slots stay where they are: %(reason)s",
    "Nothing is lost. It is tried again.")
DECISION_DEFECT: Final = Event("decision-defect", "error", "what the leader has decided was not carried out",
    "A defect of ckv: please report it, with the traceback. It is tried again.")
COORDINATOR_BACK: Final = Event("coordinator-back", "info", "the coordinator %(coordinator)s answers again",
    "Nodes are taken in, moved and failed over again.")
COORDINATOR_AWAY: Final = Event("coordinator-away", "warning",
    "the coordinator %(coordinator)s cannot be %(what)s (%(reason)s): nobody is taken in, moved or failed over "
    "meanwhile; requests are routed by the map %(map)s",
    "Do not restart primaries before it is back.", COORDINATOR_BACK)
COORDINATOR_ERROR: Final = Event("coordinator-error", "error", "the coordinator %(coordinator)s: %(reason)s",
    "What its account lacks has to be granted; with a traceback it is a defect of ckv: please report it.")
COORDINATOR_CREATED: Final = Event("coordinator-created", "info", "created %(coordinator)s",
    "ZooKeeper had no such path: this is the first primary there.")
ZOOKEEPER_DEFECT: Final = Event("zookeeper-defect", "warning",
    "a connection to ZooKeeper ended by an error: %(reason)r",
    "Another one is made.")
FOLLOWS: Final = Event("follows", "info", "follows %(primary)s",
    "This primary learns the map from that one (--follow).")
MAP_UNTOLD: Final = Event("map-untold", "warning", "%(primary)s does not tell the map: %(reason)s; routes by %(map)s",
    "Keys of slots that move meanwhile are found later. See that the primary runs.", FOLLOWS)
FOLLOWING_DEFECT: Final = Event("following-defect", "error", "what %(primary)s has answered was not carried out",
    "A defect of ckv: please report it, with the traceback. It is asked again.")
MEMBERSHIP_DEFECT: Final = Event("membership-defect", "error", "what became of %(method)s was not carried out",
    "A defect of ckv: please report it, with the traceback. The secondary asks to join again.")

# fmt: on

EVENTS: Final = tuple(value for value in list(globals().values()) if isinstance(value, Event))
"""All of them, in the order of the page."""
