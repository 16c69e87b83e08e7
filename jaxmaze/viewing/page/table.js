"use strict";
// The table of episodes.

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
