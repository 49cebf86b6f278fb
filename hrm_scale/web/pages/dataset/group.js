"use strict";
// The main part of the page: one copy of a group, its neighbours, all its pairs.

const GALLERY = 12;
let latest = 0; // number of the latest request; older answers are dropped
let data = null; // the copy that is shown

/** What the painter shows of a board: it undone, the true grid in its frame, or all tokens. */
function stateOf(board, { undo, frame } = view) {
  if (undo && board.u) {
    const [rows, columns, tokens] = board.u;
    return { shown: decode(tokens), shape: [rows, columns], undone: true };
  }
  const whole = frame || !board.c?.[2];
  return { shown: decode(board.t), part: whole ? [0, 0, about.drawing.height, about.drawing.width] : board.c };
}

function thumbnail(board, options = {}) {
  const picture = new Board(about.drawing, "");
  picture.paint({ ...stateOf(board, options), thumb: true });
  return el("span", { className: "thumb" }, picture.element);
}

function boardFigure(caption, state) {
  const board = new Board(about.drawing, caption);
  board.paint(state);
  const size = about.drawing.crop && el("span", { className: "muted" }, `${board.part[2]}×${board.part[3]}`);
  return el("figure", {}, el("figcaption", {}, caption, size), board.element);
}

/** Load and show what the state says. */
async function showGroup() {
  const request = (latest += 1);
  const isCurrent = () => request === latest;
  const { split, group, copy, variant } = view;
  hideTip();
  try {
    const place = { split, group, copy, variant };
    const found = await provider.ask("group", place);
    const related = [];
    for (const other of found.related) {
      const there = { split: other.split, group: other.group, copy: 0, variant: other.variant };
      related.push({ place: there, data: await provider.ask("group", there) });
    }
    const start = galleryStart(found);
    const copies = found.copies > 1 ? await provider.ask("copies", { split, group, start, count: GALLERY }) : [];
    if (!isCurrent()) return;
    view.copy = found.copy;
    const same = data?.split === found.split && data?.group === found.group;
    data = found;
    render(place, related, copies, isCurrent, same);
    list.select(data.ordinal);
  } catch (error) {
    if (isCurrent()) fail(error);
  }
}

const many = () => data.copies > 1 || view.variant !== null;
const lastCopy = () => data.included || data.copies;
const galleryStart = (found) => Math.floor(found.copy / GALLERY) * GALLERY;
const goCopy = (copy) => go({ copy: (copy + lastCopy()) % lastCopy(), variant: null });

function render(place, related, copies, isCurrent, same) {
  const main = byId("main");
  const top = same ? main.scrollTop : 0;
  main.replaceChildren(
    ...[heading(), controls(), many() && description(), copies.length > 0 && gallery(copies)].filter(Boolean),
    section(data, place, isCurrent, related.length > 0),
    ...related.map((other) => section(other.data, other.place, isCurrent, true)),
  );
  main.scrollTop = top;
  document.title = `${data.title || `Group ${data.group}`} · ${about.name}`;
  announce(`${data.title || ""} group ${data.group}, ${data.label}, ${plural(data.rows, "pair")}`);
}

function heading() {
  const facts = [data.split, data.title && `group ${data.group}`, about.identifiers > 1 && `identifier ${thousands(data.identifier)}`];
  const total = about.listed ? "" : ` of ${thousands(about.splits[data.split].groups)}`;
  const pager = [
    el("span", { className: "muted" }, `${thousands(data.ordinal + 1)}${total}`),
    iconButton("Previous group (←)", LEFT, () => goGroup("previous"), data.previous === null),
    iconButton("Next group (→)", RIGHT, () => goGroup("next"), data.next === null),
  ];
  const title = el("div", {}, el("h1", {}, data.title || `Group ${data.group}`), el("p", { className: "muted" }, facts.filter(Boolean).join(" · ")));
  return el("div", { className: "heading" }, title, el("div", { className: "pager" }, pager));
}

/** A toggle button that says its state to everybody. */
function toggle(id, text, key, pressed, onclick) {
  const properties = { id, className: "button toggle", "aria-pressed": String(pressed), title: `${text} (${key})`, onclick };
  return el("button", properties, text, el("kbd", { "aria-hidden": "true" }, key));
}

function controls() {
  const useful = data.undo && (data.copies > 1 || data.augmentation !== 0 || about.storage === "dense");
  const undo = useful && toggle("undo", "Undo augmentation", "u", view.undo, toggleUndo);
  const frame = about.drawing.crop && toggle("frame", "Frame", "f", view.frame && !view.undo, toggleFrame);
  if (frame && view.undo) {
    frame.disabled = true;
    frame.title = "The frame is what the model reads: it has none once undone";
  }
  const toggles = [undo, frame, about.model && stepBar()].filter(Boolean);
  if (!toggles.length && !many()) return null;
  return el("div", { className: "row controls" }, many() && stepper(), el("div", { className: "row toggles" }, toggles));
}

/** ‹ 17 of 1,000 › over the copies of the group. */
function stepper() {
  const count = lastCopy();
  const value = view.variant === null ? data.copy : "";
  const field = el("input", { type: "number", min: 0, max: count - 1, value, "aria-label": "Copy", onchange: () => goCopy(Math.floor(Number(field.value)) % count || 0) });
  const all = count < data.copies ? `${thousands(data.copies)}, ${count} in this file` : thousands(data.copies);
  return el("div", { className: "stepper", role: "group", "aria-label": "Copies of this group" },
    iconButton("Previous copy (↑)", LEFT, () => goCopy(data.copy - 1)), el("label", { className: "muted" }, "copy ", field, ` of ${all}`),
    iconButton("Next copy (↓)", RIGHT, () => goCopy(data.copy + 1)));
}

/** What the copy is: its name, how it was turned, which token became which. */
function description() {
  const words = [view.undo && data.undo ? `${data.label}, undone` : data.label];
  if (data.turn && data.augmentation !== 0) words.push(data.turn);
  if (data.computed) words.push("computed from the original");
  const half = (token) => {
    const look = about.drawing.tokens[token];
    const part = el("i", {}, look.fill ? "" : look.glyph);
    if (look.fill) part.style.background = tokenColour(about.drawing, token);
    return part;
  };
  const swatches = data.renamed.map(([from, to]) =>
    el("span", { className: "renamed", title: `${tokenName(about.drawing, from)} becomes ${tokenName(about.drawing, to)}` }, half(from), half(to)));
  return el("div", { className: "row description" }, el("span", {}, words.join(" · ")),
    swatches.length > 0 && el("span", { className: "swatches", role: "img", "aria-label": "Symbols: old above, new below" }, swatches));
}

function gallery(copies) {
  const first = galleryStart(data);
  const tiles = copies.map((one) =>
    el("a", { className: "tile", href: link({ copy: one.copy, variant: null }), "aria-current": String(one.copy === data.copy && view.variant === null) },
      thumbnail(one.board, { undo: view.undo }), el("span", { className: "muted" }, one.label.replace("augmentation", "aug."))));
  return el("div", { className: "gallery", role: "group", "aria-label": `Copies side by side${view.undo ? ", undone" : ""}` },
    iconButton("Copies before", LEFT, () => goCopy(first - 1), first === 0), el("div", { className: "tiles" }, tiles),
    iconButton("Copies after", RIGHT, () => goCopy(first + GALLERY), first + GALLERY >= lastCopy()));
}

/** All pairs of a copy, their cells of one size so that they can be compared. */
function section(shown, place, isCurrent, named) {
  const slots = [];
  let side = 1;
  const figures = shown.pairs.map((pair) => {
    const input = stateOf(pair.input);
    const label = { ...stateOf(pair.label), question: input.shown };
    const boards = [boardFigure("Input", input), boardFigure("Label", label)];
    for (const figure of boards) side = Math.max(side, ...figure.querySelector(".board").board.part.slice(2));
    if (about.model) slots.push(predictionSlot(input, label));
    const facts = [`example ${thousands(pair.example)}`, ...pair.facts.map((fact) => fact.join(" "))];
    return el("article", { className: "card pair" }, el("div", { className: "boards" }, boards, about.model && slots.at(-1)), el("footer", { className: "muted" }, facts.join(" · ")));
  });
  if (slots.length) predictInto(place, slots, isCurrent);
  const more = shown.rows > shown.pairs.length ? `, the first ${shown.pairs.length} shown` : "";
  const count = `${plural(shown.rows, "pair")}${more}`;
  const words = named ? [`In split ${shown.split} `, el("span", { className: "muted" }, count)] : [count];
  const title = (named || shown.rows > 1) && el("h2", {}, words);
  const pairs = el("div", { className: "pairs" }, figures);
  pairs.style.setProperty("--side", side);
  return el("section", {}, title, pairs);
}

/** What the tip says of a cell. */
function tipLines(board, at) {
  const { shown, marks, label, undone } = board.state;
  const columns = board.shape[1];
  const lines = [`${tokenName(about.drawing, shown[at])} · token ${shown[at]}`, `row ${Math.floor(at / columns)}, column ${at % columns}${undone ? " of the original" : ""}`];
  return marks[at] ? [...lines, `label: ${tokenName(about.drawing, label[at])}`] : lines;
}
