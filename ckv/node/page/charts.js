// The last ten minutes: what the node has kept of its counters, and what this page has read since.

const SPAN = 600;

/** Names of counters, and samples: seconds of the epoch, then the counters. The node's, until the page goes on. */
let kept = { names: [], samples: [] };

function remember(info) {
  if (kept.names.length > 0) {
    kept.samples.push([info.now, ...kept.names.map((name) => info[name])]);
  }
  while (kept.samples.length > 0 && kept.samples[0][0] < info.now - SPAN) {
    kept.samples.shift();
  }
}

/** By how much a counter grew in that time. It begins anew where the node did. */
function growth(name) {
  return steps(name).reduce((sum, [, step]) => sum + step, 0);
}

/** For each sample but the first: its time, by how much the counter grew, and in how many seconds. */
function steps(name) {
  const column = kept.names.indexOf(name) + 1;
  const found = [];
  for (let at = 1; column > 0 && at < kept.samples.length; at++) {
    const [before, after] = [kept.samples[at - 1], kept.samples[at]];
    const step = after[column] - before[column];
    found.push([after[0], step < 0 ? after[column] : step, after[0] - before[0]]);
  }
  return found;
}

/** How often something was counted in a second, for each sample. */
function rates(name) {
  return steps(name).filter(([, , seconds]) => seconds > 0.2).map(([at, step, seconds]) => [at, step / seconds]);
}

/** Milliseconds that each of what was counted took, for each sample in which there was any. */
function means(seconds, name) {
  const counts = steps(name);
  return steps(seconds).map(([at, took], index) => [at, (1000 * took) / counts[index][1]]).filter(([, mean]) => Number.isFinite(mean));
}

function showCharts(info) {
  chart("calls", rates("total_commands_processed"), info.now, "calls a second");
  chart("times", means("timed_calls_seconds", "timed_calls"), info.now, "ms");
  chart("errors", rates("total_error_replies"), info.now, "errors a second");
  byId("batches-card").hidden = info.role !== "secondary" || info.persistent_node === "-";
  if (!byId("batches-card").hidden) {
    chart("batches", means("flush_seconds_total", "flushes"), info.now, "ms");
  }
}

/** A curve over ten minutes from 0 up; where nothing was known for 10 s it is cut. */
function chart(id, points, now, unit) {
  const values = points.map(([, value]) => value);
  const most = Math.max(0, ...values);
  const last = values.length > 0 ? values[values.length - 1] : NaN;
  const when = points.length > 0 && now - points[points.length - 1][0] < 5 ? "now" : "last";
  const label = values.length > 0 ? `${rounded(last)} ${unit} ${when}, ${rounded(most)} at most` : "nothing yet";
  say(byId(id), label);
  const place = byId(`${id}-chart`);
  const [width, height, left, base] = [Math.max(200, place.clientWidth), 140, 48, 118];
  const top = ceiling(most);
  const x = (at) => left + ((at - now + SPAN) / SPAN) * (width - left - 6);
  const y = (value) => base - (value / top) * (base - 12);
  const shapes = [];
  for (const value of [0, top / 2, top]) {
    shapes.push(svg("path", { class: "grid", d: `M${left} ${y(value)}H${width - 6}` }));
    shapes.push(words(left - 6, y(value) + 4, rounded(value), "quiet", "end"));
  }
  shapes.push(words(left, height - 4, "10 min ago", "quiet"), words(width - 6, height - 4, "now", "quiet", "end"));
  let path = "";
  points.forEach(([at, value], index) => {
    const isCut = index === 0 || at - points[index - 1][0] > 10;
    path += `${isCut ? "M" : "L"}${x(at).toFixed(1)} ${y(value).toFixed(1)}`;
  });
  shapes.push(svg("path", { class: "curve", d: path }));
  if (points.length > 0) {
    shapes.push(svg("circle", { class: "dot", r: 3, cx: x(points[points.length - 1][0]), cy: y(last) }));
  }
  picture(place, height, label, shapes);
}

/** The next 1, 2 or 5 with noughts. */
function ceiling(value) {
  const size = 10 ** Math.floor(Math.log10(Math.max(value, 0.1)));
  return [1, 2, 5, 10].map((step) => step * size).find((step) => step >= value);
}
