// What a secondary keeps, and where: memory, pending, the database.

const TIERS = [
  ["memory", "hits_memory"],
  ["pending", "hits_pending"],
  ["database", "hits_persistent"],
  ["none had it", "keyspace_misses"],
];

function showTiers(info) {
  byId("tiers").hidden = info.role !== "secondary";
  if (info.role !== "secondary") {
    return;
  }
  showMemory(info);
  showPending(info);
  showDatabase(info);
  showReads(info);
}

function showMemory(info) {
  const isBytes = info.records_max_bytes > 0 && info.records_bytes / info.records_max_bytes > info.records / info.capacity;
  say(byId("memory"), counted(info.records, "record"));
  const label = isBytes
    ? `${bytes(info.records_bytes)} of ${bytes(info.records_max_bytes)} taken`
    : `${percent(info.records, info.capacity)} of ${count(info.capacity)} taken`;
  bar(byId("memory-bar"), isBytes ? info.records_bytes : info.records, isBytes ? info.records_max_bytes : info.capacity, label);
  const saved = info.persistent_node === "-" ? "" : `, ${count(info.records_clean)} saved`;
  say(byId("memory-more"), `${label}; ${bytes(info.records_bytes)}, ${info.policy}${saved}`);
}

function showPending(info) {
  say(byId("pending"), counted(info.pending_records, "row"));
  const rows = info.pending_records / Math.max(1, info.pending_max_records);
  const size = info.pending_bytes / Math.max(1, info.pending_max_bytes);
  const label = `${(100 * Math.max(rows, size)).toFixed(1)} % of the room`;
  bar(byId("pending-bar"), Math.max(rows, size), 1, label);
  const parked = info.parked_records > 0 ? `, ${count(info.parked_records)} refused by the database and parked` : "";
  say(byId("pending-more"), `${label}; the oldest is ${duration(info.pending_oldest_seconds)} old${parked}`);
}

function showDatabase(info) {
  const none = info.persistent_node === "-";
  const readOnly = info.database_connected === 0 && info.database_readable === 1;
  const state = readOnly ? `${info.database_state} for writes, is read` : info.database_state;
  say(byId("database"), none ? "none" : state);
  bar(byId("database-bar"), info.database_connected, 1, none ? "no database" : state);
  const reason = info.database_reason === "-" ? "" : `: ${info.database_reason}`;
  say(byId("database-more"), none
    ? "what memory gives up is lost"
    : `for ${duration(info.database_state_seconds)}${reason}; ${info.persistent_node}, mode ${info.write_mode}`);
}

function showReads(info) {
  const grown = TIERS.map(([, name]) => growth(name));
  const all = grown.reduce((sum, number) => sum + number, 0);
  byId("reads").replaceChildren(...TIERS.map(([title, name], at) =>
    row([title, numeric(count(grown[at])), numeric(percent(grown[at], all)), numeric(count(info[name]))])));
}
