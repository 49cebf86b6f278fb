"use strict";
// The list of groups. Only the lines on the screen exist, and only their pages are asked for.
(function (V) {
  const LINE = 52;
  const PAGE = 40;
  const MOST_PAGES = 60;
  // Browsers cannot lay out much taller boxes: beyond it a pixel stands for several lines.
  const TALLEST = 8e6;

  class GroupList {
    #list = V.byId("list");
    #spacer = V.byId("spacer");
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
    open(split, total) {
      if (split === this.#split) return;
      this.#split = split;
      this.#total = total;
      this.#pages.clear();
      this.#current = null;
      this.#spacer.style.height = `${Math.min(total * LINE, TALLEST)}px`;
      this.#list.scrollTop = 0;
      const all = V.about.splits[split].groups;
      V.byId("count").textContent =
        total < all ? `${V.plural(total, "group")} of ${V.number(all)} in this file` : V.plural(all, "group");
      this.#render();
    }

    /** Mark a group as the one shown, and bring it into view. */
    select(ordinal) {
      this.#current = ordinal;
      const shown = this.#list.clientHeight / LINE;
      const top = this.#top();
      if (ordinal < top + 0.2 || ordinal > top + shown - 1.4) this.#scrollTo(ordinal - shown / 2 + 0.5);
      this.#render();
    }

    #lines() {
      return this.#list.clientHeight / LINE;
    }

    /** The line at the upper edge, with its fraction. */
    #top() {
      const scrollable = this.#spacer.offsetHeight - this.#list.clientHeight;
      if (scrollable <= 0) return 0;
      return (this.#list.scrollTop / scrollable) * Math.max(0, this.#total - this.#lines());
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
        const known = this.#pages.get(Math.floor(ordinal / PAGE))?.[ordinal % PAGE];
        const y = this.#list.scrollTop + (ordinal - top) * LINE;
        lines.push(this.#line(ordinal, known, y));
      }
      this.#spacer.replaceChildren(...lines);
      clearTimeout(this.#timer);
      this.#timer = setTimeout(() => this.#load(first, last), this.#pages.size ? 60 : 0);
    }

    #line(ordinal, known, y) {
      const current = ordinal === this.#current;
      const line = V.el("a", {
        className: "line",
        tabIndex: -1,
        "aria-current": current ? "true" : "false",
        "data-ordinal": String(ordinal),
      });
      line.style.transform = `translateY(${y}px)`;
      const thumb = V.el("span", { className: "thumb" });
      if (!known) {
        line.append(thumb, V.el("span", { className: "words muted" }, "…"));
        return line;
      }
      line.href = V.link({ split: this.#split, group: known.group });
      // A maze in so few pixels is noise.
      if (V.about.drawn !== "maze") {
        known.canvas ||= V.thumbnail(known.thumb, 38, {});
        thumb.append(known.canvas);
      }
      line.append(
        V.about.drawn === "maze" ? "" : thumb,
        V.el("span", { className: "words" }, V.el("b", {}, known.title), V.el("span", { className: "muted" }, known.note)),
      );
      return line;
    }

    async #load(first, last) {
      const split = this.#split;
      let fresh = false;
      for (let page = Math.floor(first / PAGE); page * PAGE < last; page += 1) {
        if (this.#pages.has(page)) continue;
        try {
          const lines = await V.provider.groups(split, page * PAGE, PAGE);
          if (split !== this.#split) return;
          this.#pages.set(page, lines);
          fresh = true;
        } catch (error) {
          V.fail(error);
          return;
        }
      }
      while (this.#pages.size > MOST_PAGES) this.#pages.delete(this.#pages.keys().next().value);
      if (fresh) this.#render();
    }
  }

  V.GroupList = GroupList;
})(window.Viewer);
