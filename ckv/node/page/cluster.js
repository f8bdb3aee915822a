// The cluster as a picture: primaries above, secondaries below, and under these who owns which slots.

const SLOTS = 16384;
const COLOURS = 8;
const MOST_BOXES = 60;
const BOX = { least: 126, most: 220, height: 48, gap: 12 };

/** What was drawn last, as it is much work that nothing asks for most of the time. */
let drawn = "";

function showCluster(info) {
  const cluster = info.cluster;
  const place = byId("cluster-picture");
  const now = JSON.stringify([cluster.primaries, cluster.secondaries, cluster.slots, Boolean(cluster.move), place.clientWidth]);
  say(byId("cluster-summary"), summary(info));
  showNodes(info);
  if (now !== drawn) {
    drawn = now;
    draw(place, info);
  }
}

function summary(info) {
  const { primaries, secondaries, move } = info.cluster;
  const owned = secondaries.reduce((sum, node) => sum + node.slots, 0);
  const away = secondaries.filter((node) => node.state === "away").length;
  const lost = away > 0 ? ` (${count(away)} given up)` : "";
  const parts = [counted(primaries.length, "primary", "primaries"), counted(secondaries.length, "secondary", "secondaries") + lost];
  const known = info.role === "primary" || info.cluster_joined === 1;
  parts.push(known && owned < SLOTS ? `${count(SLOTS - owned)} of ${count(SLOTS)} slots have no owner` : `${count(owned)} slots`);
  if (info.role === "secondary" && info.cluster_joined === 0) {
    parts.push("a secondary of a list knows of no other one");
  }
  return `${parts.join(", ")}. ${move ? moving(info.cluster, move) : info.cluster_leads ? "No slots move." : ""}`;
}

function moving(cluster, move) {
  const name = (number) => cluster.secondaries.find((node) => node.number === number)?.name ?? "a node that has left";
  const state = { preparing: "all are served", frozen: "their requests wait", decided: "their requests wait" }[move.phase];
  return `${counted(move.slots, "slot")} on the way from ${name(move.source)} to ${name(move.target)}: ` +
    `${move.phase} for ${duration(move.seconds)}, ${state}.`;
}

function showNodes(info) {
  const routes = info.role === "primary";
  const heads = ["name", "address", "state", numeric("slots"), numeric("share")];
  if (routes) {
    heads.push(numeric("requests not answered"), numeric("requests that wait"));
  }
  if (byId("nodes-head").childElementCount !== heads.length) {
    byId("nodes-head").replaceChildren(...heads.map((head) => {
      const cell = element("th", ...[head].flat());
      cell.scope = "col";
      return cell;
    }));
  }
  const rows = info.cluster.secondaries.map((node) => {
    const cells = [node.own ? `${node.name} (this node)` : node.name, node.address, node.state,
      numeric(count(node.slots)), numeric(percent(node.slots, SLOTS))];
    if (routes) {
      cells.push(numeric(count(info[`peer_${node.address}_in_flight`] ?? 0)));
      cells.push(numeric(count(info[`peer_${node.address}_waiting`] ?? 0)));
    }
    return row(cells);
  });
  byId("nodes").replaceChildren(...rows);
}

function draw(place, info) {
  const { primaries, secondaries, slots, move } = info.cluster;
  const width = Math.max(200, place.clientWidth);
  const left = 16;
  const shown = secondaries.slice(0, MOST_BOXES);
  const fit = Math.floor((width - left + BOX.gap) / (BOX.least + BOX.gap));
  const columns = Math.max(1, Math.min(fit, Math.max(primaries.length, shown.length)));
  const size = Math.min(BOX.most, (width - 2 - left + BOX.gap) / columns - BOX.gap);
  const at = (index, top) => ({
    x: left + (index % columns) * (size + BOX.gap),
    y: top + Math.floor(index / columns) * (BOX.height + BOX.gap + 8),
  });
  const shapes = [];
  const rows = (nodes) => Math.ceil(nodes.length / columns);
  const below = 12 + rows(primaries) * (BOX.height + BOX.gap + 8) + 8;
  const bottom = below + rows(shown) * (BOX.height + BOX.gap + 8);

  // The trunk, and a branch to each box.
  const ends = [...primaries.map((_, index) => at(index, 12)), ...shown.map((_, index) => at(index, below))];
  const last = ends[ends.length - 1];
  shapes.push(svg("path", { class: "wire", d: `M4 ${ends[0].y - 8}V${last.y - 8}` }));
  for (const { x, y } of ends) {
    shapes.push(svg("path", { class: "wire", d: `M4 ${y - 8}H${x + size / 2}V${y}` }));
  }
  primaries.forEach((primary, index) => {
    const role = primary.own ? "primary, this node" : "primary";
    shapes.push(box(at(index, 12), size, primary.address, primary.leads ? `${role}, leads` : role, primary.own));
  });
  shown.forEach((node, index) => {
    const line = node.state === "up" ? counted(node.slots, "slot") : node.state;
    const made = box(at(index, below), size, node.name, node.own ? `${line}, this node` : line, node.own, node.state);
    const { x, y } = at(index, below);
    made.append(svg("rect", { x, y, width: 6, height: BOX.height, class: colour(node.number) }));
    shapes.push(made);
  });
  if (shown.length < secondaries.length) {
    shapes.push(words(left, bottom, `and ${count(secondaries.length - shown.length)} more, in the table`, "quiet"));
  }
  if (move) {
    shapes.push(...arrow(shown, move, (index) => at(index, below), size));
  }
  shapes.push(...slotBar(slots, width, bottom + 14));
  picture(place, bottom + 68, summary(info), shapes);
}

const colour = (number) => `owner${number % COLOURS}`;

function box({ x, y }, width, name, line, own, state = "up") {
  const kind = `box${own ? " own" : ""}${state === "up" || state === "draining" ? "" : " away"}`;
  const title = svg("title", {});
  title.textContent = `${name}: ${line}`;
  const fits = (text, wide) => {
    const most = Math.max(4, Math.floor((width - 18) / wide));
    return text.length > most ? `${text.slice(0, most - 1)}…` : text;
  };
  return svg("g", {}, title,
    svg("rect", { x, y, width, height: BOX.height, class: kind }),
    words(x + 12, y + 20, fits(name, 8.4), "name"),
    words(x + 12, y + 38, fits(line, 6), "quiet"));
}

function arrow(shown, move, at, size) {
  const from = shown.findIndex((node) => node.number === move.source);
  const to = shown.findIndex((node) => node.number === move.target);
  if (from < 0 || to < 0) {
    return [];
  }
  const start = { x: at(from).x + size / 2, y: at(from).y + BOX.height };
  const end = { x: at(to).x + size / 2, y: at(to).y + BOX.height };
  const low = Math.max(start.y, end.y) + 18;
  const path = `M${start.x} ${start.y}C${start.x} ${low} ${end.x} ${low} ${end.x} ${end.y + 7}`;
  return [svg("path", { class: "move", d: path }),
    svg("path", { class: "head", d: `M${end.x} ${end.y}l-5 9h10z` })];
}

function slotBar(runs, width, top) {
  const scale = width / SLOTS;
  const shapes = [svg("rect", { x: 0.5, y: top + 0.5, width: width - 1, height: 21, class: "empty" })];
  for (const [first, last, owner] of runs) {
    const size = Math.max(0.5, (last - first + 1) * scale - 0.5);
    shapes.push(svg("rect", { x: first * scale, y: top, width: size, height: 22, class: colour(owner) }));
  }
  const steps = width < 500 ? 2 : 4;
  for (let step = 0; step <= steps; step++) {
    const anchor = step === 0 ? "start" : step === steps ? "end" : "middle";
    const slot = step === steps ? SLOTS - 1 : (SLOTS / steps) * step;
    shapes.push(words((width / steps) * step, top + 40, step === 0 ? "slot 0" : count(slot), "quiet", anchor));
  }
  return shapes;
}
