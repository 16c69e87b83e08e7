"use strict";
// The page: a table of episodes, one or two of them step by step, and charts.

const $ = (id) => document.getElementById(id);
const color = (i) => `series-${i % 6}`;
const UNITS = { reward: "reward", kept: 200, ahead: 8, apart: 5, peaks: 30, traces: 12, choices: 12 };

// Where the data come from: this file itself, or the server.

class Embedded {
  constructor(data) { this.data = data; }
  async overview() { return this.data.overview; }
  async episode(n, i) { return this.data.episodes[`${n}/${i}`]; }
  async replay(n, i) { return this.data.replays[`${n}/${i}`]; }
  async atSeed(n, seed) {
    const found = this.data.beside[String(seed)];
    if (typeof found !== "number") throw new Error(found);
    return this.episode(n, found);
  }
  frame(n, i, t) { return this.data.pictures[`frame/${n}/${i}`]?.[t]; }
  image(n, i, leaf, t) { return this.data.pictures[`image/${n}/${i}/${leaf}`]?.[t]; }
  async disagreements(measure) {
    const steps = Object.values(this.data.episodes).filter((e) => e.source === 0).flatMap((e) =>
      peaksOf(e.measures[measure].values).map((t) => [e.index, t, e.measures[measure].values[t]]));
    steps.sort((a, b) => b[2] - a[2]);
    const compared = this.data.overview.sources[0].rows.index.length;
    return { steps: steps.slice(0, UNITS.peaks), compared, of: this.data.overview.sources[0].episodes };
  }
}

class Served {
  constructor() { this.kept = new Map(); }
  ask(path) {
    if (!this.kept.has(path)) {
      if (this.kept.size > UNITS.kept) this.kept.delete(this.kept.keys().next().value);
      this.kept.set(path, this.fetched(path));
    }
    return this.kept.get(path);
  }
  async fetched(path) {
    try {
      const found = await (await fetch(path)).json();
      if (found.error) throw new Error(found.error);
      return found;
    } catch (error) {
      this.kept.delete(path);
      throw error instanceof TypeError ? new Error("the server does not answer; is it still running?") : error;
    }
  }
  overview() { return this.ask("/api/overview"); }
  episode(n, i) { return this.ask(`/api/episode/${n}/${i}`); }
  atSeed(n, seed) { return this.ask(`/api/seed/${n}/${seed}`); }
  replay(n, i) { return this.ask(`/api/replay/${n}/${i}`); }
  disagreements(measure) { return this.ask(`/api/disagreements/${measure}`); }
  frame(n, i, t) { return `/frame/${n}/${i}/${t}`; }
  image(n, i, leaf, t) { return `/image/${n}/${i}/${t}?leaf=${encodeURIComponent(leaf)}`; }
}

/** The steps with the largest values, none near another; as the server ranks them. */
function peaksOf(values) {
  const order = values.map((v, t) => t).filter((t) => values[t] !== null).sort((a, b) => values[b] - values[a] || a - b);
  const found = [];
  for (const t of order) {
    if (found.length === UNITS.peaks) break;
    if (found.every((other) => Math.abs(other - t) > UNITS.apart)) found.push(t);
  }
  return found;
}

function summed(values) {
  let total = 0;
  return [0, ...values.map((v) => (total += v ?? 0))];
}

// The table.

const COLUMNS = [
  { key: "index", name: "#" },
  { key: "total", name: "return" },
  { key: "length", name: "length" },
  { key: "end", name: "end", text: true },
  { key: "seed", name: "seed" },
];

class Table {
  constructor(rows, choose) {
    this.rows = rows.index.map((_, k) => Object.fromEntries(COLUMNS.map((c) => [c.key, rows[c.key][k]])));
    this.choose = choose;
    this.sorted = { key: "index", down: false };
    this.most = 500;
    this.heads = COLUMNS.map((column) => {
      const button = make("button", { type: "button", onclick: () => this.sort(column.key) });
      const th = make("th", { scope: "col", class: column.text ? "text" : "" }, button);
      $("episodes").tHead.rows[0].append(th);
      return { column, button, th };
    });
    $("more").onclick = () => { this.most += 2000; this.fill(); };
    $("episodes").tBodies[0].addEventListener("click", (event) => {
      const tr = event.target.closest("tr");
      if (tr) this.choose(Number(tr.dataset.index));
    });
    $("episodes").addEventListener("keydown", (event) => this.key(event));
    this.fill();
  }

  sort(key) {
    this.sorted = { key, down: this.sorted.key === key ? !this.sorted.down : key === "total" };
    const sign = this.sorted.down ? -1 : 1;
    this.rows.sort((a, b) => {
      const [x, y] = [a[key], b[key]];
      if (x === null || y === null) return (x === null) - (y === null);
      return sign * (typeof x === "string" ? x.localeCompare(y) : x - y) || a.index - b.index;
    });
    this.fill();
  }

  fill() {
    for (const { column, button, th } of this.heads) {
      const mine = column.key === this.sorted.key;
      th.setAttribute("aria-sort", mine ? (this.sorted.down ? "descending" : "ascending") : "none");
      button.textContent = column.name + (mine ? (this.sorted.down ? " ▾" : " ▴") : "");
    }
    const body = document.createDocumentFragment();
    for (const row of this.rows.slice(0, this.most)) {
      const tr = make("tr", { tabIndex: -1 });
      tr.dataset.index = row.index;
      for (const column of COLUMNS) {
        const value = row[column.key];
        const text = column.text || column.key === "seed" ? String(value ?? "–") : column.key === "total" && value !== null ? value.toLocaleString("en", { minimumFractionDigits: 1, maximumFractionDigits: 1 }).replace("-", "−") : shown(value);
        tr.append(make("td", { class: column.text ? "text" : "" }, text));
      }
      body.append(tr);
    }
    $("episodes").tBodies[0].replaceChildren(body);
    const left = this.rows.length - this.most;
    $("more").hidden = left <= 0;
    $("more").textContent = `Show more (${left.toLocaleString("en")})`;
    this.mark(this.chosen, false);
  }

  mark(index, scroll = true) {
    this.chosen = index;
    for (const tr of $("episodes").tBodies[0].rows) {
      const mine = Number(tr.dataset.index) === index;
      tr.setAttribute("aria-selected", String(mine));
      tr.tabIndex = mine ? 0 : -1;
      if (mine && scroll) this.reveal(tr);
    }
  }

  /** Scroll the list, and nothing else, so that a row is seen. */
  reveal(tr) {
    const box = $("table-scroll");
    const head = $("episodes").tHead.offsetHeight;
    if (tr.offsetTop - head < box.scrollTop) box.scrollTop = tr.offsetTop - head;
    if (tr.offsetTop + tr.offsetHeight > box.scrollTop + box.clientHeight) box.scrollTop = tr.offsetTop + tr.offsetHeight - box.clientHeight;
  }

  /** The episode so many rows below; null at the end. */
  neighbour(by) {
    const at = this.rows.findIndex((row) => row.index === this.chosen);
    return this.rows[at + by]?.index ?? null;
  }

  key(event) {
    const by = { ArrowDown: 1, ArrowUp: -1 }[event.key];
    if (!by || !event.target.closest("tbody")) return;
    event.preventDefault();
    const next = this.neighbour(by);
    if (next === null) return;
    this.choose(next);
    for (const tr of $("episodes").tBodies[0].rows) if (Number(tr.dataset.index) === next) tr.focus({ preventScroll: true });
  }
}

// What is seen and done: one pane an episode.

class Pane {
  constructor(number, app) {
    this.number = number;
    this.app = app;
    this.title = make("h2", { hidden: app.sources.length < 2 });
    this.warning = make("p", { class: "warning", role: "status", hidden: true });
    this.frame = make("img", { alt: "" });
    this.figure = make("figure", { hidden: true }, this.frame, make("figcaption"));
    this.nothing = make("div", { class: "nothing" });
    this.images = make("div", { class: "pictures" });
    this.facts = make("dl", { class: "facts" });
    this.actions = make("div", { class: "actions" });
    this.body = make("section", { class: "pane" }, this.title, this.warning,
      make("div", { class: "pictures" }, this.figure, this.nothing, this.images),
      make("div", { class: "now" }, this.facts, this.actions));
    this.body.setAttribute("aria-label", app.sources[number].name);
    this.ahead = new Map();
    $("panes").append(this.body);
  }

  show(episode) {
    this.episode = episode;
    this.replay = null;
    this.ahead.clear();
    this.returns = summed(episode.rewards);
    const source = this.app.sources[this.number];
    this.title.textContent = `${source.name}, episode ${episode.index}`;
    this.warning.hidden = true;
    this.images.replaceChildren(...episode.observations.images.map((image) => {
      const name = episode.observations.images.length > 1 || image.name !== "image" ? `observation: ${image.name}` : "observation";
      const file = make("img", { alt: name, class: Math.max(image.width, image.height) < 200 ? "pixels" : "" });
      file.dataset.leaf = image.leaf;
      return make("figure", {}, file, make("figcaption", {}, name));
    }));
    this.nothing.textContent = source.no_pictures ? `No pictures: ${source.no_pictures}` : "Playing the episode again …";
    this.nothing.hidden = false;
    this.figure.hidden = true;
    this.play(episode);
  }

  /** No episode, and why. */
  fail(message) {
    this.episode = null;
    this.title.textContent = this.app.sources[this.number].name;
    this.warning.textContent = message;
    this.warning.hidden = false;
    for (const part of [this.facts, this.actions, this.images]) part.replaceChildren();
    this.nothing.hidden = this.figure.hidden = true;
  }

  async play(episode) {
    if (this.app.sources[this.number].no_pictures) return;
    let replay;
    try {
      replay = await this.app.store.replay(this.number, episode.index);
    } catch (error) {
      replay = { frames: 0, differs_at: null, says: error.message };
    }
    if (this.episode !== episode) return;
    this.replay = replay;
    const { differs_at: from, frames, says } = replay;
    const parts = [];
    if (from !== null) parts.push(`From step ${from} on, playing the recorded actions again gives something else than what was recorded${frames ? ": the pictures show the replay" : ""}.`);
    if (says && frames) parts.push(says);
    this.warning.textContent = parts.join(" ");
    this.warning.hidden = !parts.length;
    if (!frames) {
      this.nothing.textContent = `No pictures: ${says || "the environment draws none."}`;
      this.nothing.hidden = false;
      this.figure.hidden = true;
    }
    this.at(this.app.t);
  }

  picture(t) {
    const { episode, number } = this;
    if (this.app.sources[number].no_pictures || this.replay?.frames === 0) return;
    const last = (this.replay?.frames ?? Infinity) - 1;
    for (let k = Math.min(t, last); k <= Math.min(t + UNITS.ahead, episode.length, last); k++) this.load(k);
    this.load(Math.min(t, last)).then((file) => {
      if (this.episode !== episode || this.app.t !== t || !file) return;
      this.frame.src = file.src;
      this.frame.alt = `Picture of step ${Math.min(t, last)}`;
      this.figure.lastChild.textContent = this.replay && t > last ? `The replay ended at step ${last}.` : "";
      this.nothing.hidden = true;
      this.figure.hidden = false;
    });
    const differs = this.replay && this.replay.differs_at !== null && t >= this.replay.differs_at;
    this.figure.classList.toggle("differs", Boolean(differs));
  }

  /** The picture of a step once it is decoded; null if there is none. */
  load(t) {
    if (!this.ahead.has(t)) {
      if (this.ahead.size > 400) this.ahead.clear();
      const url = this.app.store.frame(this.number, this.episode.index, t);
      const file = new Image();
      if (url) file.src = url;
      this.ahead.set(t, url ? file.decode().then(() => file, () => null) : Promise.resolve(null));
    }
    return this.ahead.get(t);
  }

  at(t) {
    const e = this.episode;
    if (!e) return;
    this.picture(t);
    const step = Math.min(t, e.length);
    for (const file of this.images.querySelectorAll("img")) {
      const url = this.app.store.image(this.number, e.index, file.dataset.leaf, step);
      if (url) file.src = url;
    }
    const facts = [
      ["Return so far", shown(this.returns[step])],
      ["Reward", t < e.length ? shown(e.rewards[t]) : "–"],
      ...e.policies.filter((p) => p.value).map((p) => [`Value (${p.name})`, shown(p.value[step])]),
      ...(t >= e.length ? [["End", e.end]] : []),
    ];
    this.facts.replaceChildren(...facts.map(([name, text]) => make("div", {}, make("dt", {}, name), make("dd", {}, text))));
    this.fillActions(Math.min(t, e.length - 1), t >= e.length);
  }

  fillActions(t, over) {
    const e = this.episode;
    const tables = [];
    if (over) tables.push(make("p", { class: "muted" }, "The episode is over; the last action was:"));
    const choices = e.heads.map((head, h) => [head, h]).filter(([head]) => head.choices.length);
    const reals = e.heads.map((head, h) => [head, h]).filter(([head]) => !head.choices.length);
    for (const [head, h] of choices) tables.push(this.choice(head, h, t));
    if (reals.length) tables.push(this.reals(reals, t));
    this.actions.replaceChildren(...tables);
  }

  /** The heads of the columns: what was done, the teacher's label, each policy. */
  columns(first) {
    const e = this.episode;
    const cells = [make("th", { scope: "col" }, first), make("th", { scope: "col" }, "done")];
    if (e.labels) cells.push(make("th", { scope: "col" }, "teacher"));
    e.policies.forEach((p, i) => cells.push(make("th", { scope: "col" }, swatch(color(i)), p.name)));
    return make("thead", {}, make("tr", {}, ...cells));
  }

  choice(head, h, t) {
    const e = this.episode;
    const done = e.actions[h][t];
    const label = e.labels ? e.labels[h][t] : null;
    const odds = e.policies.map((p) => p.heads[h]?.p?.[t] ?? null);
    let listed = head.choices.map((_, c) => c);
    if (listed.length > UNITS.choices) {
      const weight = (c) => (c === done || c === label ? 2 : 0) + Math.max(0, ...odds.map((p) => p?.[c] ?? 0));
      listed = listed.sort((a, b) => weight(b) - weight(a)).slice(0, UNITS.choices - 2).sort((a, b) => a - b);
    }
    const rows = listed.map((c) => {
      const cells = [make("th", { scope: "row" }, head.choices[c]), make("td", { class: "mark" }, c === done ? "●" : "")];
      if (e.labels) cells.push(make("td", { class: "mark" }, c === label ? "◆" : ""));
      odds.forEach((p, i) => cells.push(make("td", {}, p ? bar(p[c], color(i)) : e.policies[i].mode[h][t] === c ? "●" : "")));
      return make("tr", { class: c === done ? "done" : "" }, ...cells);
    });
    const classes = odds.length || e.labels ? "" : "plain";
    return make("table", { class: classes }, this.columns(head.name || "action"), make("tbody", {}, ...rows));
  }

  reals(heads, t) {
    const e = this.episode;
    const rows = heads.flatMap(([head, h]) => {
      const done = e.actions[h][t];
      const cells = [make("th", { scope: "row" }, head.name || "action"), make("td", {}, shown(done))];
      if (e.labels) cells.push(make("td", {}, shown(e.labels[h][t])));
      const spread = e.policies.map((p) => ({ mean: p.heads[h]?.mean?.[t] ?? p.mode[h][t], std: p.heads[h]?.std?.[t] ?? null }));
      for (const { mean, std } of spread) cells.push(make("td", {}, std === null ? shown(mean) : `${shown(mean)} ± ${shown(std, 3)}`));
      const width = make("td", { colSpan: cells.length });
      width.append(track(this.range(head, h), done, e.labels ? e.labels[h][t] : null, spread));
      return [make("tr", {}, ...cells), make("tr", { class: "track" }, width)];
    });
    return make("table", {}, this.columns("action"), make("tbody", {}, ...rows));
  }

  /** From where to where a number is drawn: its bounds, or what occurs in the episode. */
  range(head, h) {
    const e = this.episode;
    const all = [...e.actions[h], ...e.policies.flatMap((p) => p.heads[h]?.mean ?? [])].filter((x) => x !== null);
    const low = head.low ?? all.reduce((a, b) => Math.min(a, b), 0);
    const high = head.high ?? all.reduce((a, b) => Math.max(a, b), 0);
    return high > low ? [low, high] : [low - 1, high + 1];
  }
}

function swatch(name) {
  return draw("svg", { class: "swatch", viewBox: "0 0 20 8", "aria-hidden": "true" }, draw("rect", { width: 20, height: 8, rx: 2, class: `fill ${name}` }));
}

function bar(p, name) {
  const percent = p === null ? "–" : p > 0 && p < 0.001 ? "< 0.1 %" : `${(100 * p).toFixed(1)} %`;
  const picture = draw("svg", { viewBox: "0 0 100 10", preserveAspectRatio: "none", "aria-hidden": "true" },
    draw("rect", { width: 100, height: 10, class: "groove" }), draw("rect", { width: 100 * (p ?? 0), height: 10, class: `fill ${name}` }));
  return make("div", { class: "bar" }, picture, make("span", {}, percent));
}

/** A number on its range: what was done as a dot, a label as a diamond, policies as mean and spread. */
function track([low, high], done, label, spread) {
  const x = (v) => 2 + 96 * Math.max(0, Math.min(1, (v - low) / (high - low)));
  const at = (v) => `${x(v)}%`;
  const picture = draw("svg", { "aria-hidden": "true" }, draw("rect", { x: "2%", width: "96%", y: 11, height: 4, rx: 2, class: "groove" }));
  spread.forEach(({ mean, std }, i) => {
    if (mean === null) return;
    const y = 3 + (i * 20) / Math.max(spread.length - 1, 1) * (spread.length > 1 ? 1 : 0) + (spread.length > 1 ? 0 : 10);
    if (std !== null) picture.append(draw("line", { x1: at(mean - std), x2: at(mean + std), y1: y, y2: y, class: color(i), "stroke-width": 2.5, "stroke-opacity": 0.55 }));
    picture.append(draw("line", { x1: at(mean), x2: at(mean), y1: y - 4, y2: y + 4, class: color(i), "stroke-width": 3 }));
  });
  if (done !== null) picture.append(draw("circle", { cx: at(done), cy: 13, r: 4.5, class: "fill ink" }));
  if (label !== null) picture.append(draw("circle", { cx: at(label), cy: 13, r: 7, class: "ink", fill: "none", "stroke-width": 1.5 }));
  return picture;
}

// All of it together.

class App {
  constructor(store, overview) {
    this.store = store;
    this.sources = overview.sources;
    this.policies = overview.policies;
    this.t = 0;
    this.playing = false;
    this.every = false;
    this.heading();
    this.panes = this.sources.map((_, n) => new Pane(n, this));
    $("panes").classList.toggle("two", this.panes.length > 1);
    const onStep = (t) => this.at(t);
    this.charts = {
      disagreement: new Chart($("chart-disagreement"), { label: "Disagreement at each step, in nats", unit: "nats", onStep }),
      total: new Chart($("chart-return"), { label: "Return so far at each step", unit: "return", height: 140, onStep }),
      reward: new Chart($("chart-reward"), { label: "Reward of each step", unit: "reward", height: 140, onStep }),
    };
    this.traces = [];
    this.table = new Table(this.sources[0].rows, (index) => this.choose(index));
    this.wire();
  }

  heading() {
    const names = this.sources.map((s) => s.name);
    document.title = $("title").textContent = names.join(" beside ");
    const s = this.sources[0];
    const parts = [s.environment, `${s.episodes.toLocaleString("en")} episodes`, `${s.steps.toLocaleString("en")} steps`];
    if (s.mean !== null) parts.push(`mean return ${s.mean.toFixed(1)} ± ${s.std.toFixed(1)}`.replace("-", "−"));
    if (s.rows.index && s.rows.index.length < s.episodes) parts.push(`${s.rows.index.length} of them on this page`);
    $("about").textContent = parts.filter(Boolean).join(" · ");
  }

  wire() {
    $("step").oninput = (event) => this.at(Number(event.target.value));
    $("first").onclick = () => this.at(0);
    $("back").onclick = () => this.at(this.t - 1);
    $("forward").onclick = () => this.at(this.t + 1);
    $("last").onclick = () => this.at(this.steps);
    $("play").onclick = () => this.toggle();
    $("all-traces").onclick = () => { this.every = !this.every; this.drawTraces(); };
    $("measure").onchange = $("scope").onchange = () => this.drawDisagreement();
    document.addEventListener("keydown", (event) => this.key(event));
  }

  key(event) {
    if (event.ctrlKey || event.altKey || event.metaKey || event.target.closest("select")) return;
    const by = event.shiftKey ? 10 : 1;
    const does = {
      ArrowLeft: () => this.at(this.t - by),
      ArrowRight: () => this.at(this.t + by),
      Home: () => this.at(0),
      End: () => this.at(this.steps),
      " ": event.target.closest("button") ? null : () => this.toggle(),
      n: () => this.next(1),
      p: () => this.next(-1),
      d: () => this.nextPeak(),
    }[event.key];
    if (!does) return;
    event.preventDefault();
    does();
  }

  next(by) {
    const index = this.table.neighbour(by);
    if (index !== null) this.choose(index);
  }

  /** Show an episode, from a step on. */
  async choose(index, t = 0) {
    this.pause();
    this.table.mark(index);
    this.wanted = index;
    let episode;
    try {
      episode = await this.store.episode(0, index);
    } catch (error) {
      if (this.wanted === index) this.trouble(error.message);
      return;
    }
    if (this.wanted !== index) return;
    this.trouble("");
    this.episode = episode;
    this.other = null;
    this.panes[0].show(episode);
    if (this.panes.length > 1) await this.beside(episode);
    if (this.wanted === index) this.redraw(t);
  }

  async beside(episode) {
    try {
      if (episode.seed === null) throw new Error("The episode's seed was not recorded, so there is none to show beside it.");
      const other = await this.store.atSeed(1, episode.seed);
      if (this.episode !== episode) return;
      this.other = other;
      this.panes[1].show(other);
    } catch (error) {
      if (this.episode === episode) this.panes[1].fail(error.message);
    }
  }

  redraw(t) {
    const shownOnes = [this.episode, this.other].filter(Boolean);
    this.steps = Math.max(...shownOnes.map((e) => e.length));
    $("step").max = this.steps;
    const name = (e) => (this.panes.length > 1 ? this.sources[e.source].name : "return");
    this.charts.total.set([
      ...shownOnes.map((e, k) => ({ name: name(e), values: summed(e.rewards), color: "ink", dashed: k > 0 })),
      ...this.episode.policies.flatMap((p, i) => (p.value ? [{ name: `value (${p.name})`, values: p.value, color: color(i) }] : [])),
    ]);
    this.charts.reward.set(shownOnes.map((e, k) => ({ name: this.panes.length > 1 ? name(e) : "reward", values: e.rewards, color: "ink", dashed: k > 0 })));
    this.drawDisagreement();
    this.drawTraces();
    this.at(t);
  }

  drawDisagreement() {
    const measures = this.episode.measures;
    $("disagreement").hidden = !measures.length;
    if (!measures.length) return;
    // Of what a policy did itself, it says little; two policies are compared.
    const first = this.sources[0].played && this.policies.length > 1 ? this.policies.length : 0;
    const chosen = $("measure").options.length ? $("measure").selectedIndex : first;
    const k = Math.max(0, Math.min(chosen, measures.length - 1));
    $("measure").replaceChildren(...measures.map((m) => make("option", {}, m.name)));
    $("measure").selectedIndex = k;
    const peaks = peaksOf(measures[k].values);
    const tint = k < this.policies.length ? color(k) : "ink";
    this.charts.disagreement.set([{ name: measures[k].name, values: measures[k].values, color: tint }], peaks.slice(0, 10));
    this.peaks = peaks;
    if ($("scope").value === "one") this.list(peaks.map((t) => [this.episode.index, t, measures[k].values[t]]));
    else this.rank(k);
  }

  async rank(k) {
    $("compared").hidden = false;
    $("compared").textContent = "Comparing all episodes …";
    $("peaks").replaceChildren();
    let found;
    try {
      found = await this.store.disagreements(k);
    } catch (error) {
      $("compared").textContent = error.message;
      return;
    }
    if ($("scope").value !== "all" || $("measure").selectedIndex !== k) return;
    this.list(found.steps);
    $("compared").hidden = found.compared >= found.of;
    $("compared").textContent = `The first ${found.compared} of ${found.of} episodes were compared.`;
    if (this.store instanceof Embedded) $("compared").textContent = `The ${found.compared} episodes on this page were compared.`;
  }

  list(steps) {
    if ($("scope").value === "one") $("compared").hidden = true;
    this.listed = steps;
    $("peaks").replaceChildren(...steps.map(([index, t, value]) => {
      const here = index === this.episode.index;
      const where = $("scope").value === "one" ? `step ${t}` : `episode ${index}, step ${t}`;
      const button = make("button", { type: "button", onclick: () => this.jump(index, t) },
        make("span", {}, where), make("span", { class: "much" }, `${shown(value, 4)} nats`));
      if (here) button.append(make("span", { class: "what" }, this.doing(t)));
      button.dataset.at = `${index}/${t}`;
      return make("li", {}, button);
    }));
    this.current();
  }

  /** What was done at a step, and what each policy would do. */
  doing(t) {
    const e = this.episode;
    const said = (columns) => columns.map((column, h) => e.heads[h].choices[column[t]] ?? shown(column[t], 3)).join(", ");
    const parts = [`done: ${said(e.actions)}`];
    if (e.labels) parts.push(`teacher: ${said(e.labels)}`);
    e.policies.forEach((p) => parts.push(`${p.name}: ${said(p.mode)}`));
    return parts.join(" · ");
  }

  async jump(index, t) {
    if (index !== this.episode.index) await this.choose(index, t);
    else this.at(t);
    this.pause();
    $("panes").scrollIntoView({ block: "nearest" });
  }

  nextPeak() {
    const listed = this.listed ?? [];
    const at = listed.findIndex(([index, t]) => index === this.episode.index && t === this.t);
    const next = listed[(at + 1) % listed.length];
    if (next) this.jump(next[0], next[1]);
  }

  current() {
    const at = `${this.episode.index}/${this.t}`;
    for (const button of $("peaks").querySelectorAll("button")) button.setAttribute("aria-current", String(button.dataset.at === at));
  }

  drawTraces() {
    const { numbers, left_out: out } = this.episode.observations;
    const other = this.other?.observations.numbers ?? [];
    const listed = this.every ? numbers : numbers.slice(0, UNITS.traces);
    this.traces = listed.map((trace, i) => {
      const value = make("b");
      const host = make("div", { class: "trace" }, make("div", { class: "label" }, make("span", {}, trace.name), value));
      const chart = new Chart(host, { label: trace.name, height: 46, bare: true, onStep: (t) => this.at(t) });
      const lines = [{ name: trace.name, values: trace.values, color: color(0) }];
      if (other[i]) lines.push({ name: trace.name, values: other[i].values, color: "ink", dashed: true });
      return { host, chart, value, lines };
    });
    $("traces").replaceChildren(...this.traces.map((trace) => trace.host));
    for (const { chart, lines } of this.traces) chart.set(lines);
    document.querySelector('[aria-labelledby="traces-heading"]').hidden = !numbers.length;
    $("all-traces").hidden = numbers.length <= UNITS.traces;
    $("all-traces").textContent = this.every ? "Show fewer" : `Show all ${numbers.length}`;
    $("left-out").hidden = !out;
    $("left-out").textContent = `${out} more numbers are not shown.`;
    $("whose").hidden = !other.length;
    $("whose").textContent = `solid: ${this.sources[0].name}, dashed: ${this.sources[1]?.name}`;
    this.moveTraces();
  }

  moveTraces() {
    for (const { chart, value, lines } of this.traces) {
      chart.at(this.t);
      value.textContent = lines.map((line) => shown(line.values[this.t] ?? null)).join(" / ");
    }
  }

  /** Go to a step: 0 is after the reset, the last one after the last action. */
  at(t) {
    if (!this.episode) return;
    this.t = Math.max(0, Math.min(t, this.steps));
    $("step").value = this.t;
    $("where").textContent = `step ${this.t} of ${this.steps}`;
    for (const pane of this.panes) pane.at(this.t);
    for (const chart of Object.values(this.charts)) chart.at(this.t);
    this.moveTraces();
    this.current();
    if (this.playing && this.t >= this.steps) this.pause();
    if (!this.playing) this.remember();
  }

  remember() {
    try {
      history.replaceState(null, "", `#episode=${this.episode.index}&step=${this.t}`);
    } catch { /* A page inside a notebook has no address of its own. */ }
  }

  toggle() {
    if (this.playing) return this.pause();
    if (this.t >= this.steps) this.at(0);
    this.playing = true;
    $("play").classList.add("playing");
    $("play").setAttribute("aria-label", "Pause");
    let before = performance.now();
    const tick = (now) => {
      if (!this.playing) return;
      const due = Math.floor(((now - before) / 1000) * Number($("speed").value));
      if (due > 0) {
        before += (due * 1000) / Number($("speed").value);
        this.at(this.t + due);
      }
      requestAnimationFrame(tick);
    };
    requestAnimationFrame(tick);
  }

  pause() {
    if (!this.playing) return;
    this.playing = false;
    $("play").classList.remove("playing");
    $("play").setAttribute("aria-label", "Play");
    this.remember();
  }

  trouble(message) {
    $("trouble").textContent = message;
    $("trouble").hidden = !message;
  }
}

async function start() {
  const data = $("data");
  const store = data ? new Embedded(JSON.parse(data.textContent)) : new Served();
  try {
    const app = new App(store, await store.overview());
    const asked = new URLSearchParams(location.hash.slice(1));
    const listed = app.sources[0].rows.index ?? [];
    const index = Number(asked.get("episode") ?? listed[0]);
    await app.choose(listed.includes(index) ? index : listed[0], Number(asked.get("step") ?? 0) || 0);
  } catch (error) {
    $("trouble").textContent = error.message;
    $("trouble").hidden = false;
  }
}

start();
