"use strict";
// The data: from this file itself, or from the server that it came from.

const MOST_KEPT = 200;
/** As many steps of disagreement, at least so far apart, as the server lists. */
const PEAKS = 30, APART = 5;

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
    return { steps: steps.slice(0, PEAKS), compared, of: this.data.overview.sources[0].episodes };
  }
}

class Served {
  constructor() { this.kept = new Map(); }
  ask(path) {
    if (!this.kept.has(path)) {
      if (this.kept.size > MOST_KEPT) this.kept.delete(this.kept.keys().next().value);
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
    if (found.length === PEAKS) break;
    if (found.every((other) => Math.abs(other - t) > APART)) found.push(t);
  }
  return found;
}

function summed(values) {
  let total = 0;
  return [0, ...values.map((v) => (total += v ?? 0))];
}
