"use strict";
// The main part of the page: one copy of a group, its neighbours, all its pairs.
(function (V) {
  const GALLERY = 12;
  let shown = 0; // number of the latest request; older answers are dropped

  /** Load and show what the state says. */
  V.showGroup = async function () {
    const request = (shown += 1);
    const isCurrent = () => request === shown;
    const { split, group, copy, variant } = V.state;
    V.hideTip();
    try {
      const place = { split, group, copy, variant };
      const data = await V.provider.group(place);
      const related = [];
      for (const other of data.related) {
        const there = { split: other.split, group: other.group, copy: 0, variant: other.variant };
        related.push({ place: there, data: await V.provider.group(there) });
      }
      const first = galleryStart(data);
      const copies = data.copies > 1 ? await V.provider.copies(split, group, first, GALLERY) : [];
      if (!isCurrent()) return;
      V.state.copy = data.copy;
      V.data = data;
      render(data, place, related, copies, isCurrent);
      V.list.select(data.ordinal);
    } catch (error) {
      if (isCurrent()) V.fail(error);
    }
  };

  const many = (data) => data.copies > 1 || V.state.variant !== null;
  const galleryStart = (data) => Math.floor(data.copy / GALLERY) * GALLERY;

  function render(data, place, related, copies, isCurrent) {
    const main = V.byId("main");
    const same = V.where === `${data.split}/${data.group}`;
    V.where = `${data.split}/${data.group}`;
    const top = same ? main.scrollTop : 0;
    main.replaceChildren(
      heading(data),
      controls(data),
      many(data) ? describe(data) : "",
      copies.length ? gallery(data, copies) : "",
      section(data, place, isCurrent, related.length > 0),
      ...related.map((other) => section(other.data, other.place, isCurrent, true)),
    );
    main.scrollTop = top;
    document.title = `${data.title || `Group ${data.group}`} · ${V.about.name}`;
    V.announce(`${data.title || ""} group ${data.group}, ${data.label}, ${V.plural(data.rows, "pair")}`);
  }

  function heading(data) {
    const title = data.title || `Group ${data.group}`;
    const facts = [`${data.split}`, data.title ? `group ${data.group}` : ""];
    if (V.about.identifiers > 1) facts.push(`identifier ${V.number(data.identifier)}`);
    const total = V.about.listed ? "" : ` of ${V.number(V.about.splits[data.split].groups)}`;
    const go = (group) => () => V.go({ group, copy: 0, variant: null });
    return V.el(
      "div",
      { className: "heading" },
      V.el("div", {}, V.el("h1", {}, title), V.el("p", { className: "muted" }, facts.filter(Boolean).join(" · "))),
      V.el(
        "div",
        { className: "pager" },
        V.el("span", { className: "muted" }, `${V.number(data.ordinal + 1)}${total}`),
        V.arrow("Previous group (←)", V.LEFT, go(data.previous), data.previous === null),
        V.arrow("Next group (→)", V.RIGHT, go(data.next), data.next === null),
      ),
    );
  }

  function controls(data) {
    const parts = [];
    if (many(data)) parts.push(stepper(data));
    const undo = V.toggle("Undo augmentation", "u", V.state.undo, V.toggleUndo);
    undo.id = "undo";
    const useful = data.undo && (data.copies > 1 || data.augmentation !== 0 || V.about.storage === "dense");
    const toggles = [useful ? undo : null];
    if (V.about.drawn === "arc") {
      const frame = V.toggle("Frame", "f", V.state.frame && !V.state.undo, V.toggleFrame);
      frame.disabled = V.state.undo;
      if (V.state.undo) frame.title = "The frame is what the model reads: it has none once undone";
      toggles.push(frame);
    }
    if (V.about.model) toggles.push(V.stepBar());
    parts.push(V.el("div", { className: "toggles" }, toggles));
    return toggles.some(Boolean) || many(data) ? V.el("div", { className: "controls" }, parts) : "";
  }

  /** ‹ 17 of 1,000 › over the copies of the group. */
  function stepper(data) {
    const count = data.included || data.copies;
    const go = (copy) => V.go({ copy: ((copy % count) + count) % count, variant: null });
    const field = V.el("input", {
      type: "number",
      min: "0",
      max: String(count - 1),
      value: V.state.variant === null ? String(data.copy) : "",
      "aria-label": "Copy",
      onchange: () => go(Math.floor(Number(field.value)) || 0),
    });
    const all = data.included < data.copies ? `${V.number(data.copies)}, ${count} in this file` : V.number(data.copies);
    return V.el(
      "div",
      { className: "stepper", role: "group", "aria-label": "Copies of this group" },
      V.arrow("Previous copy (↑)", V.LEFT, () => go(data.copy - 1)),
      V.el("label", {}, "copy ", field, ` of ${all}`),
      V.arrow("Next copy (↓)", V.RIGHT, () => go(data.copy + 1)),
    );
  }

  /** What the copy is: its name, how it was turned, which colour became which. */
  function describe(data) {
    const words = [V.state.undo && data.undo ? `${data.label}, undone` : data.label];
    if (data.turn && data.augmentation !== 0) words.push(data.turn);
    if (data.computed) words.push("computed from the original");
    const box = V.el("div", { className: "describe" }, V.el("span", {}, words.join(" · ")));
    if (data.variant && data.augmentation !== 0) {
      const swatches = data.variant.slice(1).map((to, from) => {
        const pair = V.el("span", { className: "swatch", title: `colour ${from} becomes ${to}` });
        for (const colour of [from, to]) {
          const half = V.el("i", {});
          half.style.background = V.ARC[colour];
          pair.append(half);
        }
        return pair;
      });
      box.append(V.el("span", { className: "swatches", role: "img", "aria-label": "Colours: old above, new below" }, swatches));
    }
    return box;
  }

  function gallery(data, copies) {
    const first = galleryStart(data);
    const last = data.included || data.copies;
    const go = (copy) => () => V.go({ copy, variant: null });
    const tiles = copies.map((one) => {
      const current = one.copy === data.copy && V.state.variant === null;
      return V.el(
        "a",
        { className: "tile", href: V.link({ copy: one.copy, variant: null }), "aria-current": String(current) },
        V.el("span", { className: "thumb" }, V.thumbnail(one.board, 54, { undo: V.state.undo })),
        V.el("span", { className: "muted" }, one.label.replace("augmentation", "aug.")),
      );
    });
    const label = `Copies side by side${V.state.undo ? ", undone" : ""}`;
    return V.el(
      "div",
      { className: "gallery", role: "group", "aria-label": label },
      V.arrow("Copies before", V.LEFT, go(first - 1), first === 0),
      V.el("div", { className: "tiles" }, tiles),
      V.arrow("Copies after", V.RIGHT, go(first + GALLERY), first + GALLERY >= last),
    );
  }

  /** All pairs of a group. */
  function section(data, place, isCurrent, named) {
    const options = { undo: V.state.undo, frame: V.state.frame };
    const pairs = data.pairs.map((pair) => ({
      pair,
      input: V.gridOf(pair.input, options),
      label: V.gridOf(pair.label, options),
    }));
    const size = fit(pairs);
    const slots = [];
    const figures = pairs.map(({ pair, input, label }) => {
      const given = V.about.drawn === "sudoku" ? input.tokens : null;
      label.given = given;
      const boards = [board(input, size, "Input"), board(label, size, "Label")];
      if (V.about.model) {
        const slot = V.predictionSlot(label, size);
        slots.push((answer) => V.showPrediction(slot, answer, label, given, options));
        boards.push(slot);
      }
      const facts = [`example ${V.number(pair.example)}`, ...pair.facts.map(([name, text]) => `${name} ${text}`)];
      return V.el("article", { className: "pair" }, V.el("div", { className: "boards" }, boards), V.el("footer", { className: "muted" }, facts.join(" · ")));
    });
    if (slots.length) V.predictInto(place, slots, isCurrent);
    const more = data.rows > data.pairs.length ? `, the first ${data.pairs.length} shown` : "";
    const title = V.el(
      "h2",
      {},
      named ? `In split ${data.split}` : V.plural(data.rows, "pair"),
      named ? V.el("span", { className: "muted" }, `${V.plural(data.rows, "pair")}${more}`) : more,
    );
    const quiet = !named && data.rows === 1;
    return V.el("section", { className: "section" }, quiet ? "" : title, V.el("div", { className: "pairs" }, figures));
  }

  const board = (grid, size, caption) =>
    V.board(grid, size, caption, V.about.drawn === "arc" ? `${grid.rows}×${grid.columns}` : "");

  /** One cell size for all boards, so that they can be compared. */
  function fit(pairs) {
    const boards = V.about.model ? 3 : 2;
    const phone = window.matchMedia("(max-width: 720px)").matches;
    const stacked = phone && (V.about.drawn !== "arc" || boards > 2);
    const room = V.byId("main").clientWidth - (phone ? 32 : 96) - 34;
    const box = stacked ? room : (room - (boards - 1) * 28) / boards;
    const sides = pairs.flatMap(({ input, label }) => [input.rows, input.columns, label.rows, label.columns]);
    const side = Math.max(...sides);
    // Two pairs of small grids go beside each other; large ones need the room to be legible.
    const arc = side <= 16 ? 197 : 300;
    const most = { arc, sudoku: 380, maze: 430 }[V.about.drawn] || 400;
    return V.cellSize(side, 1, Math.min(box, most), V.largestCell());
  }
})(window.Viewer);
