"use strict";
// What is seen and done at a step: one pane an episode.

/** Pictures that are loaded ahead, and choices of one action that are listed. */
const AHEAD = 8, MOST_CHOICES = 12;
/** As many policies get more room, and their percentages stand below the bars. */
const MANY = 3;

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
    this.actions = make("div", { class: "actions shaded", tabIndex: 0, role: "region" });
    this.actions.setAttribute("aria-label", "Actions");
    this.body = make("section", { class: "pane" }, this.title, this.warning,
      make("div", { class: "pictures" }, this.figure, this.nothing, this.images),
      make("div", { class: "now" }, this.facts, this.actions));
    this.body.setAttribute("aria-label", app.sources[number].name);
    this.ahead = new Map();
    $("panes").append(this.body);
  }

  show(episode) {
    this.episode = episode;
    this.body.classList.toggle("many", episode.policies.length >= MANY);
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
    for (let k = Math.min(t, last); k <= Math.min(t + AHEAD, episode.length, last); k++) this.load(k);
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
    const cells = [make("th", { scope: "col" }, named(first)), make("th", { scope: "col" }, "done")];
    if (e.labels) cells.push(make("th", { scope: "col" }, "teacher"));
    e.policies.forEach((p, i) => cells.push(make("th", { scope: "col" }, swatch(this.app.colors[i]), named(p.name))));
    return make("thead", {}, make("tr", {}, ...cells));
  }

  choice(head, h, t) {
    const e = this.episode;
    const done = e.actions[h][t];
    const label = e.labels ? e.labels[h][t] : null;
    const odds = e.policies.map((p) => p.heads[h]?.p?.[t] ?? null);
    let listed = head.choices.map((_, c) => c);
    if (listed.length > MOST_CHOICES) {
      const weight = (c) => (c === done || c === label ? 2 : 0) + Math.max(0, ...odds.map((p) => p?.[c] ?? 0));
      listed = listed.sort((a, b) => weight(b) - weight(a)).slice(0, MOST_CHOICES - 2).sort((a, b) => a - b);
    }
    const rows = listed.map((c) => {
      const cells = [make("th", { scope: "row" }, named(head.choices[c])), make("td", { class: "mark" }, c === done ? "●" : "")];
      if (e.labels) cells.push(make("td", { class: "mark" }, c === label ? "◆" : ""));
      odds.forEach((p, i) => cells.push(make("td", {}, p ? bar(p[c], this.app.colors[i]) : e.policies[i].mode[h][t] === c ? "●" : "")));
      return make("tr", { class: c === done ? "done" : "" }, ...cells);
    });
    const classes = odds.length || e.labels ? "" : "plain";
    return make("table", { class: classes }, this.columns(head.name || "action"), make("tbody", {}, ...rows));
  }

  reals(heads, t) {
    const e = this.episode;
    const rows = heads.flatMap(([head, h]) => {
      const done = e.actions[h][t];
      const cells = [make("th", { scope: "row" }, named(head.name || "action")), make("td", {}, shown(done))];
      if (e.labels) cells.push(make("td", {}, shown(e.labels[h][t])));
      const spread = e.policies.map((p, i) => {
        const act = p.mode[h][t];
        return { act, mean: p.heads[h]?.mean?.[t] ?? act, std: p.heads[h]?.std?.[t] ?? null, name: this.app.colors[i] };
      });
      for (const { act, std } of spread) cells.push(make("td", {}, std === null ? shown(act) : `${shown(act)} ± ${shown(std, 3)}`));
      const width = make("td", { colSpan: cells.length });
      width.append(track(this.range(head, h), done, e.labels ? e.labels[h][t] : null, spread));
      return [make("tr", {}, ...cells), make("tr", { class: "track" }, width)];
    });
    return make("table", {}, this.columns("action"), make("tbody", {}, ...rows));
  }

  /** From where to where a number is drawn: its bounds, or what occurs in the episode. */
  range(head, h) {
    const e = this.episode;
    const all = [...e.actions[h], ...e.policies.flatMap((p) => p.mode[h])].filter((x) => x !== null);
    const low = head.low ?? all.reduce((a, b) => Math.min(a, b), 0);
    const high = head.high ?? all.reduce((a, b) => Math.max(a, b), 0);
    return high > low ? [low, high] : [low - 1, high + 1];
  }
}

function swatch(name) {
  return draw("svg", { class: "swatch", viewBox: "0 0 20 8", "aria-hidden": "true" }, draw("rect", { width: 20, height: 8, rx: 2, class: `fill ${name}` }));
}

/** A name in a table's head: long ones are wrapped, and broken where they have no spaces. */
function named(text) {
  return make("div", { class: "name" }, text);
}

function bar(p, name) {
  const percent = p === null ? "–" : p > 0 && p < 0.001 ? "< 0.1 %" : `${(100 * p).toFixed(1)} %`;
  const picture = draw("svg", { viewBox: "0 0 100 10", preserveAspectRatio: "none", "aria-hidden": "true" },
    draw("rect", { width: 100, height: 10, class: "groove" }), draw("rect", { width: 100 * (p ?? 0), height: 10, class: `fill ${name}` }));
  return make("div", { class: "bar" }, picture, make("span", {}, percent));
}

/** A number on its range: what was done as a dot, a label as a ring, policies as what they would do and spread. */
function track([low, high], done, label, spread) {
  const x = (v) => 2 + 96 * Math.max(0, Math.min(1, (v - low) / (high - low)));
  const at = (v) => `${x(v)}%`;
  const picture = draw("svg", { "aria-hidden": "true" }, draw("rect", { x: "2%", width: "96%", y: 11, height: 4, rx: 2, class: "groove" }));
  spread.forEach(({ act, mean, std, name }, i) => {
    if (act === null) return;
    const y = 3 + (i * 20) / Math.max(spread.length - 1, 1) * (spread.length > 1 ? 1 : 0) + (spread.length > 1 ? 0 : 10);
    if (std !== null) picture.append(draw("line", { x1: at(mean - std), x2: at(mean + std), y1: y, y2: y, class: name, "stroke-width": 2.5, "stroke-opacity": 0.55 }));
    picture.append(draw("line", { x1: at(act), x2: at(act), y1: y - 4, y2: y + 4, class: name, "stroke-width": 3 }));
  });
  if (done !== null) picture.append(draw("circle", { cx: at(done), cy: 13, r: 4.5, class: "fill ink" }));
  if (label !== null) picture.append(draw("circle", { cx: at(label), cy: 13, r: 7, class: "ink", fill: "none", "stroke-width": 1.5 }));
  return picture;
}
