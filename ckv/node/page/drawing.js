// The document, and shapes. Text comes in by textContent alone, so that no name of a node can be markup.

function byId(id) {
  return document.getElementById(id);
}

/** Changes a text only where it is another one, so that nothing selected is lost. */
function say(element, text) {
  if (element.textContent !== text) {
    element.textContent = text;
  }
}

function element(name, text = "", kind = "") {
  const made = document.createElement(name);
  made.textContent = text;
  if (kind) {
    made.className = kind;
  }
  return made;
}

/** A row of a table: the first cell is its head. Numbers stand to the right. */
function row(cells) {
  const made = document.createElement("tr");
  cells.forEach((cell, column) => {
    const [text, kind] = Array.isArray(cell) ? cell : [cell, ""];
    const one = element(column === 0 ? "th" : "td", text, kind);
    if (column === 0) {
      one.scope = "row";
    }
    made.append(one);
  });
  return made;
}

const numeric = (text) => [text, "number"];

function svg(name, attributes, ...children) {
  const made = document.createElementNS("http://www.w3.org/2000/svg", name);
  for (const [key, value] of Object.entries(attributes)) {
    made.setAttribute(key, value);
  }
  made.append(...children);
  return made;
}

function words(x, y, text, kind = "", anchor = "start") {
  const made = svg("text", { x, y, class: kind, "text-anchor": anchor });
  made.textContent = text;
  return made;
}

/** A picture as wide as its place, one unit a pixel, with words for those who do not see it. */
function picture(place, height, label, ...children) {
  const width = Math.max(200, place.clientWidth);
  const made = svg("svg", { viewBox: `0 0 ${width} ${height}`, height, role: "img", "aria-label": label });
  made.append(...children.flat());
  place.replaceChildren(made);
}

/** How full something is. */
function bar(place, part, all, label) {
  const width = Math.max(200, place.clientWidth);
  const full = all > 0 ? Math.min(1, part / all) : 0;
  picture(place, 12, label,
    svg("rect", { x: 0.5, y: 0.5, width: width - 1, height: 11, class: "empty" }),
    svg("rect", { x: 0, y: 0, width: full * width, height: 12, class: "owner0" }));
}
