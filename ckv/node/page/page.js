// Asks the node once a second, while somebody looks, and shows what it says.

const EVERY = 1000;
const PATIENCE = 5000;

/** When the node answered last, in milliseconds of this page. */
let heard = performance.now();
let announced = "";
let timer = 0;

async function ask(path) {
  const answer = await fetch(path, { cache: "no-store", signal: AbortSignal.timeout(PATIENCE) });
  if (!answer.ok) {
    throw new Error(`${path}: ${answer.status}`);
  }
  return answer.json();
}

async function look() {
  const began = performance.now();
  try {
    if (kept.samples.length === 0 || began - heard > 10 * EVERY) {
      kept = await ask("/history.json");
    }
    const info = await ask("/status.json");
    heard = performance.now();
    remember(info);
    show(info);
  } catch (error) {
    showSilence(error);
  }
  again();
}

function again() {
  clearTimeout(timer);
  if (!document.hidden) {
    timer = setTimeout(look, EVERY);
  }
}

function show(info) {
  document.body.classList.remove("stale");
  byId("rest").hidden = false;
  const itself = info.cluster.secondaries.find((node) => node.own);
  const name = info.role === "secondary" && itself ? `secondary ${itself.name}` : `${info.role} on port ${info.tcp_port}`;
  say(byId("who"), `ckv ${name}`);
  document.title = `${info.problems.length > 0 ? "! " : ""}ckv ${name}`;
  say(byId("facts"), `version ${info.ckv_version}, up for ${duration(info.uptime_in_seconds)}, ` +
    `${counted(info.connected_clients, "connection")}, ${bytes(info.used_memory_rss)} of memory`);
  showProblems(info.problems);
  showCluster(info);
  showTiers(info);
  showCharts(info);
  showSlow(info);
}

function showProblems(problems) {
  const [worst] = problems;
  const level = worst ? worst.level : "well";
  const sentence = worst ? worst.sentence : "All is well: the node serves, and nothing is wrong";
  byId("verdict").className = `verdict ${level}`;
  say(byId("sentence"), `${sentence}.`);
  const lines = problems.slice(1).map((problem) => [`${problem.sentence}. `, problem.section]);
  if (worst && worst.section) {
    lines.unshift(["", worst.section]);
  }
  byId("problems").replaceChildren(...lines.map(([text, section]) => {
    const line = element("li", text);
    if (section) {
      line.append("What to do: ", element("code", `docs/runbook.md#${section.toLowerCase()}`));
    }
    return line;
  }));
  // Those who listen hear of a trouble when it comes, and not each second how long it has lasted.
  const kinds = problems.map((problem) => problem.section || problem.sentence).join();
  if (kinds !== announced || announced === "") {
    announced = kinds || "well";
    say(byId("announcement"), [sentence, ...lines.map(([text]) => text)].join(". "));
  }
}

function showSilence(error) {
  document.body.classList.add("stale");
  const seconds = duration((performance.now() - heard) / 1000);
  showProblems([{
    level: "critical",
    sentence: `The node has not answered this page for ${seconds}: it has ended, hangs, or cannot be reached (${error.message})`,
    section: "CkvNodeDown",
  }]);
}

function showSlow(info) {
  say(byId("slow-summary"), info.slow_requests > 0
    ? `${counted(info.slow_requests, "request")} since the start had to wait for longer than --slow-time.`
    : "No request since the start had to wait for longer than --slow-time.");
  byId("slow").replaceChildren(...info.slow_latest.map((one) =>
    row([`${duration(Math.max(0, info.now - one.at))} ago`, numeric(`${rounded(one.microseconds / 1000)} ms`), one.method, one.client])));
}

document.addEventListener("visibilitychange", () => (document.hidden ? again() : look()));
addEventListener("resize", () => { drawn = ""; });
look();
