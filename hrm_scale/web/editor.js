"use strict";
// A board whose question is typed or drawn, whatever its kind: cells over the painted board take the keyboard, the
// pointer and the names for screen readers; a palette offers the tokens.

const MOVES = { ArrowUp: [-1, 0], ArrowDown: [1, 0], ArrowLeft: [0, -1], ArrowRight: [0, 1] };

/** Key -> token: its glyph, else the first letter of its name where no other token and no key of the page has it. */
function keysOf(drawing, editable, erase, reserved) {
  const keys = new Map();
  const initials = editable.map((token) => tokenName(drawing, token)[0].toLowerCase());
  for (const token of editable) {
    const glyph = drawing.tokens[token].glyph.trim().toLowerCase();
    if (glyph) keys.set(glyph, token);
  }
  editable.forEach((token, at) => {
    const free = !keys.has(initials[at]) && !reserved.includes(initials[at]);
    if (free && initials.indexOf(initials[at]) === initials.lastIndexOf(initials[at])) keys.set(initials[at], token);
  });
  if (erase === null) return keys;
  for (const key of ["Backspace", "Delete", ".", "0", "_"]) if (!keys.has(key)) keys.set(key, erase);
  return keys;
}

class Editor {
  /**
   * editable: tokens of questions. start: {shape, tokens}, the board to begin with; a token that it holds once is a
   * piece, which moves and is never painted over. reserved: keys of the page. onEdit: called after every change.
   */
  constructor(drawing, { label, editable, start, reserved = "", onEdit }) {
    Object.assign(this, { drawing, label, editable, start, onEdit, at: 0, shape: [0, 0] });
    // Tokens that are colours are painted with a pen; glyphs are typed into the chosen cell.
    this.painting = editable.some((token) => drawing.tokens[token].fill);
    const count = (token) => start.tokens.filter((other) => other === token).length;
    this.pieces = new Set(new Set(start.tokens).size > 1 ? editable.filter((token) => count(token) === 1) : []);
    /** The token of a cell that is emptied; null where no cell can be. */
    this.erase = drawing.blank ?? (this.pieces.size ? start.tokens.find((token) => !this.pieces.has(token)) : null);
    this.keys = keysOf(drawing, editable, this.erase, reserved);
    this.board = new Board(drawing, "", "picture");
    this.grid = el("div", { className: "cells", role: "grid" });
    this.element = el("div", { className: `board ${this.painting ? "painting" : "typing"}` }, this.board.element, this.grid);
    this.palette = this.painting ? this.#pens() : this.#pad();
    this.grid.addEventListener("keydown", (event) => this.#key(event));
    this.grid.addEventListener("pointerdown", (event) => this.#press(event));
    this.grid.addEventListener("pointermove", (event) => this.#drag(event));
    this.grid.addEventListener("focusin", (event) => this.#focused(event.target));
    this.tokens = [...start.tokens];
    this.#resize(start.shape);
  }

  /** Take a question without telling of it. */
  load(shape, tokens) {
    this.tokens = [...tokens];
    this.#resize(shape);
  }

  clear() {
    this.load(this.start.shape, this.start.tokens);
    this.onEdit();
  }

  /** Make a grid larger or smaller; new cells are as the first one that can be drawn. */
  resize(rows, columns) {
    const [oldRows, oldColumns] = this.shape;
    const cells = Array.from({ length: rows * columns }, (_, at) => {
      const [row, column] = [Math.floor(at / columns), at % columns];
      return row < oldRows && column < oldColumns ? this.tokens[row * oldColumns + column] : this.start.tokens[0];
    });
    this.load([rows, columns], cells);
    this.onEdit();
  }

  text() {
    return boardText(this.drawing, this.shape, this.tokens);
  }

  /** [keys, what they do] for people. */
  help() {
    const { editable, painting, drawing, erase } = this;
    const drawn = editable.filter((token) => token !== erase && this.#keyOf(token));
    const few = painting && editable.length < 7;
    const [first, last] = [drawn[0], drawn.at(-1)].map((token) => this.#keyOf(token));
    const rows = few ? drawn.map((token) => [this.#keyOf(token), tokenName(drawing, token)]) : [[`${first} … ${last}`, painting ? "paint the cell" : "write into the cell"]];
    if (painting) rows.push(["Space", "paint the cell with the pen"]);
    if (erase !== null) rows.push(["⌫ .", "empty the cell"]);
    return rows;
  }

  focus() {
    this.grid.querySelector("[tabindex='0']")?.focus();
  }

  /** Paint the question, or with `shown` an answer to it, and name the cells. */
  paint(state = {}) {
    this.board.paint({ shown: this.tokens, question: this.tokens, shape: this.shape, ...state });
    [...this.grid.querySelectorAll("[role=gridcell]")].forEach((cell, at) => {
      const place = `row ${Math.floor(at / this.shape[1]) + 1}, column ${(at % this.shape[1]) + 1}`;
      cell.setAttribute("aria-label", `${place}, ${this.board.describe(at)}`);
    });
  }

  #resize(shape) {
    if (String(shape) === String(this.shape)) return;
    this.shape = shape;
    const [rows, columns] = shape;
    this.at = Math.min(this.at, rows * columns - 1);
    const cell = (at) => el("div", { role: "gridcell", tabIndex: at === this.at ? 0 : -1, "data-at": at });
    const line = (row) => el("div", { role: "row" }, Array.from({ length: columns }, (_, column) => cell(row * columns + column)));
    this.grid.replaceChildren(...Array.from({ length: rows }, (_, row) => line(row)));
    this.grid.setAttribute("aria-label", `${this.label}, ${rows} rows, ${columns} columns`);
    this.element.style.setProperty("--rows", rows);
    this.element.style.setProperty("--columns", columns);
  }

  #cell(at) {
    return this.grid.querySelector(`[data-at="${at}"]`);
  }

  #keyOf(token) {
    return [...this.keys].filter(([key, one]) => one === token && key.length === 1).pop()?.[0];
  }

  /** The pens of a painting: one radio button per token. */
  #pens() {
    const { editable } = this;
    const colours = editable.every((token) => this.drawing.tokens[token].fill.startsWith("#"));
    const pens = editable.map((token, at) => {
      const name = tokenName(this.drawing, token);
      const swatch = el("i", { className: "swatch", "aria-hidden": "true" });
      swatch.style.background = tokenColour(this.drawing, token);
      const input = el("input", { type: "radio", name: "pen", value: name, checked: at === 0, onchange: () => (this.pen = token) });
      const key = this.#keyOf(token);
      return el("label", { className: `option${colours ? " bare" : ""}`, title: key ? `${name} (${key})` : name }, input, swatch, el("span", {}, name));
    });
    [this.pen] = editable;
    return el("div", { className: "palette", role: "radiogroup", "aria-label": "Draw" }, pens);
  }

  /** The keys of a phone: a button per glyph, which goes into the chosen cell. */
  #pad() {
    const button = (token, text, label) => el("button", { className: "button", type: "button", "aria-label": label, onclick: () => this.#set(this.at, token) }, text);
    const glyphs = this.editable.filter((token) => token !== this.erase).map((token) => button(token, this.drawing.tokens[token].glyph, tokenName(this.drawing, token)));
    return el("div", { className: "pad", role: "group", "aria-label": "Write" }, glyphs, this.erase !== null && button(this.erase, "⌫", "Empty the cell"));
  }

  #set(at, token) {
    const old = this.tokens[at];
    const kept = this.pieces.has(old);
    if ((old === token && this.painting) || (kept && !this.pieces.has(token))) return;
    // A piece moves; where two would meet they change places.
    const from = this.pieces.has(token) ? this.tokens.indexOf(token) : -1;
    if (from >= 0) this.tokens[from] = kept ? old : this.erase;
    this.tokens[at] = token;
    this.onEdit();
  }

  /** What a pen does to a cell that has its token already: it takes it away, where a cell can be blank. */
  #toggled(at, token) {
    return this.painting && this.erase !== null && this.tokens[at] === token ? this.erase : token;
  }

  #move(rows, columns) {
    const [height, width] = this.shape;
    const row = Math.max(0, Math.min(height - 1, Math.floor(this.at / width) + rows));
    const column = Math.max(0, Math.min(width - 1, (this.at % width) + columns));
    this.#cell(row * width + column).focus();
  }

  #focused(cell) {
    if (cell.dataset.at === undefined) return;
    this.#cell(this.at).tabIndex = -1;
    this.at = Number(cell.dataset.at);
    cell.tabIndex = 0;
  }

  #key(event) {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    const token = this.keys.get(event.key.length === 1 ? event.key.toLowerCase() : event.key);
    if (MOVES[event.key]) this.#move(...MOVES[event.key]);
    else if (event.key === "Home") this.#move(0, -this.shape[1]);
    else if (event.key === "End") this.#move(0, this.shape[1]);
    else if (event.key === " " && this.painting) this.#set(this.at, this.#toggled(this.at, this.pen));
    else if (token !== undefined) this.#set(this.at, this.#toggled(this.at, token));
    else return;
    event.preventDefault();
    event.stopPropagation();
  }

  #press(event) {
    const cell = event.target.closest("[role=gridcell]");
    if (!cell || event.button !== 0) return;
    // Touch captures the pointer to the first cell; the next ones are found by their place.
    cell.releasePointerCapture?.(event.pointerId);
    cell.focus();
    if (!this.painting) return;
    event.preventDefault();
    // A stroke that begins on a cell with the token of the pen takes it away.
    this.stroke = this.#toggled(this.at, this.pen);
    this.#set(this.at, this.stroke);
  }

  #drag(event) {
    if (!this.painting || !(event.buttons & 1)) return;
    const at = this.board.cellAt(event);
    if (at >= 0 && this.stroke !== undefined) this.#set(at, this.stroke);
  }
}
