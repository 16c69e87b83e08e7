"use strict";
// Small helpers for elements, numbers and line charts. All text is set as text, never as HTML.

const SVG = "http://www.w3.org/2000/svg";
const $ = (id) => document.getElementById(id);

/** An HTML element with properties, classes and children (elements or texts). */
function make(tag, given = {}, ...children) {
  const { class: classes, ...rest } = given;
  const element = document.createElement(tag);
  if (classes) element.className = classes;
  for (const [name, value] of Object.entries(rest)) {
    if (name in element) element[name] = value;
    else element.setAttribute(name, value);
  }
  element.append(...children);
  return element;
}

/** An SVG element with attributes. */
function draw(tag, attributes = {}, ...children) {
  const element = document.createElementNS(SVG, tag);
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
  element.append(...children);
  return element;
}

/** A count with what is counted: "1 episode", "2 episodes". */
function counted(n, noun) {
  return `${n.toLocaleString("en")} ${noun}${n === 1 ? "" : "s"}`;
}

/** A number as text: four digits or so, a true minus, "–" for what is missing. */
function shown(x, digits = 4) {
  if (x === null || x === undefined || !Number.isFinite(x)) return "–";
  let text;
  if (x === 0) text = "0";
  else if (Number.isInteger(x) && Math.abs(x) < 1e6) text = x.toLocaleString("en");
  else if (Math.abs(x) >= 1e6 || Math.abs(x) < 1e-3) text = x.toExponential(2);
  else if (Math.abs(x) >= 100) text = x.toLocaleString("en", { minimumFractionDigits: 1, maximumFractionDigits: 1 });
  else text = String(Number(x.toPrecision(digits - 1)));
  return text.replaceAll("-", "−");
}

/** A round distance, so that about so many of them make up a length. */
function roundStep(length, count) {
  const rough = length / count;
  const power = 10 ** Math.floor(Math.log10(rough));
  return [1, 2, 5, 10].map((k) => k * power).find((k) => k >= rough * 0.999);
}

/** The multiples of a step between two numbers. */
function ticksOf(low, high, step) {
  const found = [];
  for (let k = Math.ceil(low / step - 1e-9); k * step <= high + step * 1e-9; k++) found.push(k * step);
  return found;
}

/** The width of a chart's text, in pixels. */
function textWidth(text) {
  textWidth.pen ??= make("canvas").getContext("2d");
  textWidth.pen.font = `11.5px ${getComputedStyle(document.body).fontFamily}`;
  return textWidth.pen.measureText(text).width;
}

function tickText(x) {
  if (Math.abs(x) < 1e-12) return "0";
  const text = Math.abs(x) >= 1e5 || Math.abs(x) < 1e-3 ? x.toExponential(0) : x.toLocaleString("en", { maximumSignificantDigits: 5 });
  return text.replaceAll("-", "−");
}

/** The points of a line, or where there are many, the extremes of each stretch. */
function thinned(values, most) {
  if (values.length <= most) return values.map((y, t) => [t, y]);
  const points = [];
  const size = Math.ceil((2 * values.length) / most);
  for (let start = 0; start < values.length; start += size) {
    let low = null, high = null;
    for (let t = start; t < Math.min(start + size, values.length); t++) {
      if (values[t] === null) continue;
      if (low === null || values[t] < values[low]) low = t;
      if (high === null || values[t] > values[high]) high = t;
    }
    if (low !== null) [...new Set([low, high])].sort((a, b) => a - b).forEach((t) => points.push([t, values[t]]));
  }
  return points;
}

/** A line chart over the steps of an episode; a click or a drag chooses a step. */
class Chart {
  /**
   * host: where it is drawn; options: label (for those who cannot see it), unit (of the vertical
   * axis), height, bare (without axes), onStep(t).
   */
  constructor(host, options) {
    this.options = { height: 130, bare: false, unit: "", ...options };
    this.lines = [];
    this.marks = [];
    this.t = 0;
    this.legend = make("div", { class: "legend" });
    this.svg = draw("svg", { height: this.options.height, role: "img" });
    this.host = make("div", { class: "chart" });
    if (!this.options.bare) this.host.append(this.legend);
    this.host.append(this.svg);
    host.append(this.host);
    this.svg.addEventListener("pointerdown", (event) => {
      this.svg.setPointerCapture(event.pointerId);
      this.seek(event);
    });
    this.svg.addEventListener("pointermove", (event) => event.buttons && this.seek(event));
    new ResizeObserver(() => this.render()).observe(this.host);
  }

  /** lines: name, values (null where missing), color (a class), dashed. marks: steps with a dot. */
  set(lines, marks = []) {
    this.lines = lines;
    this.marks = marks;
    this.render();
  }

  seek(event) {
    const { left } = this.svg.getBoundingClientRect();
    const t = Math.round(((event.clientX - left - this.left) / this.width) * (this.steps - 1));
    this.options.onStep(Math.max(0, Math.min(this.steps - 1, t)));
  }

  x(t) { return this.left + (this.steps > 1 ? t / (this.steps - 1) : 0.5) * this.width; }

  y(value) { return this.top + (1 - (value - this.low) / (this.high - this.low)) * this.room; }

  measure() {
    const { bare, height } = this.options;
    const values = this.lines.flatMap((line) => line.values).filter((y) => y !== null);
    this.low = values.reduce((a, b) => Math.min(a, b), Infinity);
    this.high = values.reduce((a, b) => Math.max(a, b), -Infinity);
    if (!values.length) [this.low, this.high] = [0, 1];
    if (this.high - this.low < 1e-9) [this.low, this.high] = [this.low - 0.5, this.high + 0.5];
    if (!bare) {  // from one round number to another
      this.step = roundStep(this.high - this.low, 4);
      this.low = Math.floor(this.low / this.step + 1e-3) * this.step;
      this.high = Math.ceil(this.high / this.step - 1e-3) * this.step;
    }
    this.steps = Math.max(1, ...this.lines.map((line) => line.values.length));
    const written = bare ? [this.high, this.low].map((y) => shown(y, 3)) : ticksOf(this.low, this.high, this.step).map(tickText);
    const widest = Math.ceil(Math.max(...written.map(textWidth)));
    [this.left, this.top] = bare ? [Math.max(48, widest + 7), 4] : [Math.max(64, widest + 28), 8];
    this.width = Math.max(10, this.host.clientWidth - this.left - 8);
    this.room = height - this.top - (bare ? 5 : 36);
  }

  render() {
    if (!this.host.clientWidth) return;
    this.measure();
    this.svg.setAttribute("viewBox", `0 0 ${this.host.clientWidth} ${this.options.height}`);
    this.svg.setAttribute("aria-label", this.options.label);
    this.svg.replaceChildren();
    if (this.options.bare) this.ends();
    else this.axes();
    for (const line of this.lines) {
      const runs = [[]];
      for (const [t, value] of thinned(line.values, 2 * this.width)) {
        if (value === null) runs.push([]);
        else runs.at(-1).push(`${this.x(t).toFixed(1)} ${this.y(value).toFixed(1)}`);
      }
      const d = runs.filter((run) => run.length).map((run) => `M${run.join("L")}`).join("");
      const dash = line.dashed ? " dashed" : "";
      this.svg.append(draw("path", { d, class: `line ${line.color}${dash}` }));
      for (const run of runs.filter((found) => found.length === 1)) {  // a line of one point is not seen
        const [cx, cy] = run[0].split(" ");
        this.svg.append(draw("circle", { cx, cy, r: 2.6, class: `point fill ${line.color}` }));
      }
    }
    for (const t of this.marks) {
      const value = this.lines[0]?.values[t] ?? null;
      if (value !== null) this.svg.append(draw("circle", { cx: this.x(t), cy: this.y(value), r: 3.2, class: `fill ${this.lines[0].color}` }));
    }
    this.cursor = draw("line", { y1: this.top, y2: this.top + this.room, class: "cursor" });
    this.svg.append(this.cursor);
    this.names = this.lines.map((line) => {
      const value = make("b");
      const sample = draw("svg", { class: "swatch", viewBox: "0 0 20 8" }, draw("path", { d: "M0 4h20", class: `line ${line.color}${line.dashed ? " dashed" : ""}` }));
      return { value, entry: make("span", {}, sample, `${line.name} `, value) };
    });
    this.legend.replaceChildren(...this.names.map((name) => name.entry));
    this.at(this.t);
  }

  axes() {
    const base = this.top + this.room;
    for (const value of ticksOf(this.low, this.high, this.step)) {
      const y = this.y(value);
      this.svg.append(draw("line", { x1: this.left, x2: this.left + this.width, y1: y, y2: y, class: "axis" }));
      this.svg.append(draw("text", { x: this.left - 7, y: y + 4, "text-anchor": "end" }, tickText(value)));
    }
    const last = this.steps - 1;
    const every = Math.max(1, roundStep(Math.max(last, 1), Math.max(2, Math.floor(this.width / 90))));
    for (const t of ticksOf(0, last, every)) {
      const anchor = this.x(t) > this.left + this.width - 14 ? "end" : "middle";
      this.svg.append(draw("line", { x1: this.x(t), x2: this.x(t), y1: base, y2: base + 4, class: "axis" }));
      this.svg.append(draw("text", { x: this.x(t), y: base + 16, "text-anchor": anchor }, tickText(t)));
    }
    this.svg.append(draw("text", { x: this.left + this.width / 2, y: base + 31, "text-anchor": "middle" }, "step"));
    const middle = this.top + this.room / 2;
    this.svg.append(draw("text", { x: 0, y: 0, "text-anchor": "middle", transform: `translate(11 ${middle}) rotate(-90)` }, this.options.unit));
  }

  ends() {
    this.svg.append(draw("line", { x1: this.left, x2: this.left + this.width, y1: this.top + this.room + 2, y2: this.top + this.room + 2, class: "axis" }));
    for (const [value, y] of [[this.high, this.top + 8], [this.low, this.top + this.room]]) {
      this.svg.append(draw("text", { x: this.left - 5, y, "text-anchor": "end" }, shown(value, 3)));
    }
  }

  /** Move the cursor to a step. */
  at(t) {
    this.t = t;
    if (!this.cursor) return;
    const x = this.x(Math.min(t, this.steps - 1));
    this.cursor.setAttribute("x1", x);
    this.cursor.setAttribute("x2", x);
    this.names.forEach((name, i) => { name.value.textContent = shown(this.lines[i].values[t] ?? null); });
  }
}
