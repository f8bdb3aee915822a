// The last ten minutes: what the node has kept of its counters, and what this page has read since.

const SPAN = 600;

/** Names of counters, and samples: seconds of the epoch, then the counters. The node's, until the page goes on. */
let kept = { names: [], samples: [] };

/** Seconds of the epoch, and the milliseconds that an answer took. */
const answered = [];

function remember(info, milliseconds) {
  if (kept.names.length > 0) {
    kept.samples.push([info.now, ...kept.names.map((name) => info[name])]);
  }
  answered.push([info.now, milliseconds]);
  for (const samples of [kept.samples, answered]) {
    while (samples.length > 0 && samples[0][0] < info.now - SPAN) {
      samples.shift();
    }
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

function showCharts(info) {
  const rates = steps("total_commands_processed").filter(([, , seconds]) => seconds > 0.2);
  chart("calls", rates.map(([at, step, seconds]) => [at, step / seconds]), info.now, "calls a second");
  chart("answers", answered, info.now, "ms");
  byId("batches-card").hidden = info.role !== "secondary" || info.persistent_node === "-";
  if (!byId("batches-card").hidden) {
    const batches = steps("flushes");
    const means = steps("flush_seconds_total").map(([at, seconds], index) => [at, (1000 * seconds) / batches[index][1]]);
    chart("batches", means.filter(([, mean]) => Number.isFinite(mean)), info.now, "ms");
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
