"use strict";
// The list of groups. Only the lines on the screen exist, and only their pages are asked for.

const LINE = 52;
const PAGE = 40;
const MOST_PAGES = 60;
const TALLEST = 8e6; // Browsers cannot lay out much taller boxes: beyond it a pixel stands for several lines.
const MOST_SMALL = 19; // cells a side: more of them are noise in a small picture, unless it shows a part

class GroupList {
  #list = byId("list");
  #spacer = byId("spacer");
  #pages = new Map();
  #timer = 0;
  #split = "";
  #total = 0;
  #current = null;

  constructor() {
    this.#list.addEventListener("scroll", () => this.#render(), { passive: true });
    this.#list.addEventListener("wheel", (event) => this.#wheel(event), { passive: false });
    new ResizeObserver(() => this.#render()).observe(this.#list);
  }

  /** Show a split from its beginning. */
  open(split) {
    if (split === this.#split) return;
    const all = about.splits[split].groups;
    this.#split = split;
    this.#total = about.listed?.[split] ?? all;
    this.#pages.clear();
    this.#current = null;
    this.#spacer.style.height = `${Math.min(this.#total * LINE, TALLEST)}px`;
    this.#list.scrollTop = 0;
    byId("count").textContent = this.#total < all ? `${plural(this.#total, "group")} of ${thousands(all)} in this file` : plural(all, "group");
    this.#render();
  }

  /** Mark a group as the one shown, and bring it into view. */
  select(ordinal) {
    this.#current = ordinal;
    const top = this.#top();
    if (ordinal < top + 0.2 || ordinal > top + this.#lines() - 1.4) this.#scrollTo(ordinal - this.#lines() / 2 + 0.5);
    this.#render();
  }

  #lines() {
    return this.#list.clientHeight / LINE;
  }

  /** The line at the upper edge, with its fraction. */
  #top() {
    const scrollable = this.#spacer.offsetHeight - this.#list.clientHeight;
    return scrollable > 0 ? (this.#list.scrollTop / scrollable) * Math.max(0, this.#total - this.#lines()) : 0;
  }

  #scrollTo(line) {
    const last = Math.max(1e-9, this.#total - this.#lines());
    const scrollable = this.#spacer.offsetHeight - this.#list.clientHeight;
    this.#list.scrollTop = (Math.max(0, Math.min(line, last)) / last) * Math.max(0, scrollable);
  }

  /** In a list taller than browsers can scroll, a turn of the wheel still moves a few lines. */
  #wheel(event) {
    if (this.#total * LINE <= TALLEST || event.ctrlKey) return;
    event.preventDefault();
    this.#scrollTo(this.#top() + event.deltaY / LINE);
  }

  #render() {
    if (!this.#split) return;
    const top = this.#top();
    const first = Math.max(0, Math.floor(top) - 2);
    const last = Math.min(this.#total, Math.ceil(top + this.#lines()) + 2);
    const lines = [];
    for (let ordinal = first; ordinal < last; ordinal += 1) {
      const line = this.#line(ordinal, this.#pages.get(Math.floor(ordinal / PAGE))?.[ordinal % PAGE]);
      line.style.transform = `translateY(${this.#list.scrollTop + (ordinal - top) * LINE}px)`;
      lines.push(line);
    }
    this.#spacer.replaceChildren(...lines);
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => this.#load(first, last), this.#pages.size ? 60 : 0);
  }

  #line(ordinal, known) {
    const properties = { className: "line", tabIndex: -1, "aria-current": String(ordinal === this.#current), "data-ordinal": ordinal };
    if (!known) return el("a", properties, el("span", { className: "thumb" }), el("span", { className: "words muted" }, "…"));
    const { crop, height, width } = about.drawing;
    if (crop || Math.max(height, width) <= MOST_SMALL) known.picture ||= thumbnail(known.thumb);
    const words = el("span", { className: "words" }, el("b", {}, known.title), el("span", { className: "muted" }, known.note));
    return el("a", { ...properties, href: link({ split: this.#split, group: known.group }) }, known.picture, words);
  }

  async #load(first, last) {
    const split = this.#split;
    let fresh = false;
    for (let page = Math.floor(first / PAGE); page * PAGE < last; page += 1) {
      if (this.#pages.has(page)) continue;
      try {
        const lines = await provider.ask("groups", { split, start: page * PAGE, count: PAGE });
        if (split !== this.#split) return;
        this.#pages.set(page, lines);
        fresh = true;
      } catch (error) {
        fail(error);
        return;
      }
    }
    while (this.#pages.size > MOST_PAGES) this.#pages.delete(this.#pages.keys().next().value);
    if (fresh) this.#render();
  }
}
