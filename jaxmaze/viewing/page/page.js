"use strict";
// The page: a table of episodes, one or two of them step by step, and charts.

/** Numbers of an observation that are drawn at first. */
const FIRST_TRACES = 12;

class App {
  constructor(store, overview) {
    this.store = store;
    this.sources = overview.sources;
    this.policies = overview.policies;
    // As in figures and reports; the teacher, whose number is -1, is drawn in the text's colour.
    this.colors = overview.colours.map((n) => (n < 0 ? "ink" : `series-${n}`));
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
    const parts = [s.environment, counted(s.episodes, "episode"), counted(s.steps, "step")];
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
      ...this.episode.policies.flatMap((p, i) => (p.value ? [{ name: `value (${p.name})`, values: p.value, color: this.colors[i] }] : [])),
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
    const tint = this.colors[k] ?? "ink";
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
    $("compared").textContent = `Compared: the first ${found.compared} of ${counted(found.of, "episode")}.`;
    if (this.store instanceof Embedded) $("compared").textContent = `Compared: the ${counted(found.compared, "episode")} on this page.`;
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
    const listed = this.every ? numbers : numbers.slice(0, FIRST_TRACES);
    this.traces = listed.map((trace, i) => {
      const value = make("b");
      const host = make("div", { class: "trace" }, make("div", { class: "label" }, make("span", {}, trace.name), value));
      const chart = new Chart(host, { label: trace.name, height: 46, bare: true, onStep: (t) => this.at(t) });
      const lines = [{ name: trace.name, values: trace.values, color: "ink" }];
      if (other[i]) lines.push({ name: trace.name, values: other[i].values, color: "ink", dashed: true });
      return { host, chart, value, lines };
    });
    $("traces").replaceChildren(...this.traces.map((trace) => trace.host));
    for (const { chart, lines } of this.traces) chart.set(lines);
    document.querySelector('[aria-labelledby="traces-heading"]').hidden = !numbers.length;
    $("all-traces").hidden = numbers.length <= FIRST_TRACES;
    $("all-traces").textContent = this.every ? "Show fewer" : `Show all ${numbers.length}`;
    $("left-out").hidden = !out;
    $("left-out").textContent = `Not shown: ${counted(out, "more number")}.`;
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
