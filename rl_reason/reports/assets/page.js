// The report's two moving parts: values under the pointer in charts, and the browser of responses.
// Model text is hostile: it reaches the page through textContent and nothing else.
"use strict";
const read = (id) => JSON.parse(document.getElementById(id).textContent);
const make = (tag, className, text) => {
  const element = document.createElement(tag);
  if (className) element.className = className;
  if (text !== undefined) element.textContent = text;
  return element;
};
const number = (value, digits = 3) => (value === null ? "–" : Number(value).toFixed(digits).replace("-", "−"));

for (const [id, chart] of Object.entries(read("chart-data"))) {
  const figure = document.getElementById(id);
  const svg = figure.querySelector("svg");
  const cursor = document.createElementNS(svg.namespaceURI, "line");
  cursor.setAttribute("class", "cursor");
  cursor.setAttribute("y1", chart.top);
  cursor.setAttribute("y2", chart.bottom);
  const tip = make("div", "tip");
  const iterations = [...new Set(chart.series.flatMap((one) => one.points.map((point) => point[0])))].sort((a, b) => a - b);
  const values = chart.series.map((one) => new Map(one.points));
  svg.addEventListener("pointermove", (event) => {
    const box = svg.getBoundingClientRect();
    const perPixel = svg.viewBox.baseVal.width / box.width;
    const x = (event.clientX - box.left) * perPixel;
    const wanted = chart.low + ((x - chart.left) / (chart.right - chart.left)) * (chart.high - chart.low);
    const at = iterations.reduce((best, one) => (Math.abs(one - wanted) < Math.abs(best - wanted) ? one : best));
    const pixel = chart.left + ((at - chart.low) / (chart.high - chart.low)) * (chart.right - chart.left);
    cursor.setAttribute("x1", pixel);
    cursor.setAttribute("x2", pixel);
    svg.append(cursor);
    const lines = chart.series.flatMap((one, k) => (values[k].has(at) ? [`${one.label}  ${Number(values[k].get(at).toPrecision(4))}`] : []));
    tip.textContent = [`iteration ${at}`, ...lines].join("\n");
    figure.append(tip);
    const left = svg.offsetLeft + pixel / perPixel;
    tip.style.top = `${event.clientY - figure.getBoundingClientRect().top - tip.offsetHeight - 10}px`;
    tip.style.left = `${Math.min(left + 10, figure.clientWidth - tip.offsetWidth - 6)}px`;
  });
  svg.addEventListener("pointerleave", () => { cursor.remove(); tip.remove(); });
}

const data = read("response-data");
const PAGE = 50;
if (data.rows.length) {
  const part = (name) => document.getElementById(`browse-${name}`);
  const groups = new Map();
  data.rows.forEach((row, at) => {
    row.at = at;
    row.key = `${row.stage}/${row.iteration}/${row.prompt}`;
    groups.set(row.key, [...(groups.get(row.key) || []), row]);
  });
  let found = [];
  let first = 0;
  let current = null;

  const fill = (select, name, options) => {
    select.append(new Option(`every ${name}`, ""), ...options.map((one) => new Option(`${name} ${one}`, one)));
  };
  const stages = [...new Set(data.rows.map((row) => row.stage))];
  fill(part("stage"), "stage", stages);
  const fillIterations = () => {
    const stage = part("stage").value;
    const of = data.rows.filter((row) => !stage || row.stage === stage).map((row) => row.iteration);
    part("iteration").replaceChildren();
    fill(part("iteration"), "iteration", [...new Set(of)].sort((a, b) => a - b));
  };

  const detail = (row) => {
    current = row;
    const [prompt, answer] = data.prompts[row.prompt];
    const facts = make("div", "facts");
    facts.append(make("span", `pill ${row.verdict}`, row.verdict));
    for (const [name, value] of [
      ["stage", row.stage], ["iteration", row.iteration], ["policy version", row.version], ["reward", number(row.reward)],
      ["advantage", number(row.advantage)], ["tokens", row.tokens], ["ended by", row.stop], ["mean log-prob", number(row.logprob)],
    ]) {
      const fact = make("span");
      fact.append(make("span", "soft", `${name} `), make("span", "", String(value)));
      facts.append(fact);
    }
    const parts = Object.entries(row.parts).map(([name, score]) => `${name}  ${number(score)}`).join("\n");
    const siblings = make("div", "siblings");
    for (const one of groups.get(row.key)) {
      const pill = make("button", `pill ${one.verdict}`, `#${one.index} · ${one.tokens} tokens`);
      pill.setAttribute("aria-current", String(one === row));
      pill.addEventListener("click", () => choose(one));
      siblings.append(pill);
    }
    const content = [facts];
    const section = (title, element) => content.push(make("h4", "", title), element);
    section("All responses to this prompt in this iteration", siblings);
    section("Prompt", make("pre", "", prompt));
    section("Reference answer", make("pre", "", answer));
    section(`Response #${row.index}`, make("pre", "", row.response));
    if (parts) section("Reward parts, unweighted", make("pre", "", parts));
    if (row.reason) section("The verifier's reason", make("pre", "", row.reason));
    part("detail").replaceChildren(...content);
    part("detail").scrollTop = 0;
  };
  const choose = (row) => {
    detail(row);
    for (const item of part("list").children) item.setAttribute("aria-current", String(item.dataset.at === String(row.at)));
  };
  const list = () => {
    const shown = found.slice(first, first + PAGE);
    part("list").replaceChildren(...shown.map((row) => {
      const item = make("button", "item");
      item.dataset.at = row.at;
      item.append(
        make("span", `pill ${row.verdict}`, row.verdict),
        make("span", "what", data.prompts[row.prompt][0]),
        make("span", "soft", `#${row.index}`),
        make("span", "meta", `${row.stage} · it. ${row.iteration} · ${row.tokens} tokens · reward ${number(row.reward, 2)} · adv. ${number(row.advantage, 2)}`),
      );
      item.addEventListener("click", () => choose(row));
      return item;
    }));
    part("list").scrollTop = 0;
    part("count").textContent = found.length ? `${first + 1}–${first + shown.length} of ${found.length}` : "none match";
    part("back").disabled = first === 0;
    part("on").disabled = first + PAGE >= found.length;
    if (shown.length) choose(shown.includes(current) ? current : shown[0]);
    else part("detail").replaceChildren(make("p", "soft", "No response matches these filters."));
  };
  const filter = () => {
    const [stage, iteration, verdict] = ["stage", "iteration", "verdict"].map((name) => part(name).value);
    const words = part("search").value.toLowerCase();
    found = data.rows.filter((row) =>
      (!stage || row.stage === stage) && (!iteration || String(row.iteration) === iteration) && (!verdict || row.verdict === verdict) &&
      (!words || row.response.toLowerCase().includes(words) || data.prompts[row.prompt].some((text) => text.toLowerCase().includes(words))));
    const order = part("order").value;
    if (order === "longest") found.sort((a, b) => b.tokens - a.tokens);
    if (order === "latest") found.sort((a, b) => b.at - a.at);
    first = 0;
    list();
  };
  part("stage").addEventListener("change", () => { fillIterations(); filter(); });
  for (const name of ["iteration", "verdict", "order"]) part(name).addEventListener("change", filter);
  part("search").addEventListener("input", filter);
  part("back").addEventListener("click", () => { first -= PAGE; list(); });
  part("on").addEventListener("click", () => { first += PAGE; list(); });
  fillIterations();
  filter();
}
