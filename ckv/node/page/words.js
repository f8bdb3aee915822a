// Numbers as people read them.

const whole = new Intl.NumberFormat("en", { maximumFractionDigits: 0 });

/** @param {number} number  @returns {string} such as "16,384" */
function count(number) {
  return whole.format(number);
}

/** A number, and what is counted. */
function counted(number, one, many = `${one}s`) {
  return `${count(number)} ${number === 1 ? one : many}`;
}

/** Three digits at most, and none behind the point where they say nothing. */
function rounded(number) {
  return number >= 100 || number === 0 ? count(number) : Number(number.toPrecision(2)).toString();
}

function bytes(number) {
  for (const [unit, size] of [["GiB", 2 ** 30], ["MiB", 2 ** 20], ["KiB", 2 ** 10]]) {
    if (number >= size) {
      return `${rounded(number / size)} ${unit}`;
    }
  }
  return `${count(number)} B`;
}

function duration(seconds) {
  for (const [unit, length] of [["days", 2 * 86400], ["h", 2 * 3600], ["min", 60]]) {
    if (seconds >= length) {
      return `${count(Math.floor(seconds / { days: 86400, h: 3600, min: 60 }[unit]))} ${unit}`;
    }
  }
  return `${count(Math.floor(seconds))} s`;
}

function percent(part, all) {
  return all > 0 ? `${((100 * part) / all).toFixed(1)} %` : "-";
}
