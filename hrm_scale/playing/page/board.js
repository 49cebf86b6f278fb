// A board of cells: drawing it, moving in it with keys, drawing on it with a pointer.
import { el } from "./dom.js";

const MOVES = { ArrowUp: [-1, 0], ArrowDown: [1, 0], ArrowLeft: [0, -1], ArrowRight: [0, 1] };

export class Board {
  /** `onKey(at, event)` and `onDraw(at, first)` make it a board to be edited; without them it is a
   * picture. `onDraw` is called for every cell that a pressed pointer comes to. */
  constructor(kind, label, { onKey, onDraw } = {}) {
    this.label = label;
    this.onKey = onKey;
    this.onDraw = onDraw;
    this.editable = Boolean(onKey);
    this.at = 0;
    this.grid = el("div", { className: `grid ${kind}`, role: this.editable ? "grid" : "img" });
    this.element = el("div", { className: "board" }, this.grid);
    this.resize(0, 0);
    if (!this.editable) return;
    this.grid.classList.add("editable");
    this.grid.addEventListener("keydown", (event) => this.#key(event));
    this.grid.addEventListener("pointerdown", (event) => this.#press(event));
    this.grid.addEventListener("pointermove", (event) => this.#drag(event));
    this.grid.addEventListener("focusin", (event) => this.#focused(event.target));
  }

  resize(rows, columns) {
    if (rows === this.rows && columns === this.columns) return;
    this.rows = rows;
    this.columns = columns;
    this.cells = [];
    const lines = [];
    for (let row = 0; row < rows; row += 1) {
      const line = el("div", { role: this.editable ? "row" : "presentation", className: "line" });
      for (let column = 0; column < columns; column += 1) {
        const cell = el("div", { className: "cell" });
        if (this.editable) {
          cell.setAttribute("role", "gridcell");
          cell.tabIndex = -1;
        }
        cell.dataset.at = this.cells.length;
        this.cells.push(cell);
        line.append(cell);
      }
      lines.push(line);
    }
    this.grid.replaceChildren(...lines);
    this.element.style.setProperty("--rows", rows);
    this.element.style.setProperty("--columns", columns);
    this.at = Math.min(this.at, Math.max(0, this.cells.length - 1));
    if (this.editable && this.cells.length) this.cells[this.at].tabIndex = 0;
    this.grid.setAttribute("aria-label", `${this.label}, ${rows} rows, ${columns} columns`);
  }

  /** Draw cells of {text, classes, says, unsure}; `unsure` from 0 to 1. */
  draw(cells) {
    cells.forEach((cell, at) => {
      const element = this.cells[at];
      const classes = `cell ${cell.classes || ""}`;
      if (element.className !== classes) element.className = classes;
      if (element.textContent !== cell.text) element.textContent = cell.text;
      element.style.setProperty("--unsure", cell.unsure || 0);
      if (!this.editable) return;
      const place = `row ${Math.floor(at / this.columns) + 1}, column ${(at % this.columns) + 1}`;
      element.setAttribute("aria-label", `${place}, ${cell.says}`);
    });
  }

  focus(at = this.at) {
    this.cells[at]?.focus();
  }

  /** The cell `rows` and `columns` away, or the last one before the edge. */
  move(rows, columns) {
    const row = Math.max(0, Math.min(this.rows - 1, Math.floor(this.at / this.columns) + rows));
    const column = Math.max(0, Math.min(this.columns - 1, (this.at % this.columns) + columns));
    this.focus(row * this.columns + column);
  }

  #focused(cell) {
    if (cell.dataset.at === undefined) return;
    this.cells[this.at].tabIndex = -1;
    this.at = Number(cell.dataset.at);
    cell.tabIndex = 0;
  }

  #key(event) {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    if (MOVES[event.key]) this.move(...MOVES[event.key]);
    else if (event.key === "Home") this.move(0, -this.columns);
    else if (event.key === "End") this.move(0, this.columns);
    else if (!this.onKey(this.at, event.key)) return;
    event.preventDefault();
    event.stopPropagation();
  }

  #press(event) {
    const cell = event.target.closest(".cell");
    if (!cell || event.button !== 0) return;
    // Touch captures the pointer to the first cell; the next ones are found by their place.
    cell.releasePointerCapture?.(event.pointerId);
    cell.focus();
    this.last = Number(cell.dataset.at);
    this.onDraw?.(this.last, true);
    if (this.onDraw) event.preventDefault();
  }

  #drag(event) {
    if (!this.onDraw || !(event.buttons & 1)) return;
    const cell = document.elementFromPoint(event.clientX, event.clientY)?.closest(".cell");
    if (!cell || !this.grid.contains(cell)) return;
    const at = Number(cell.dataset.at);
    if (at === this.last) return;
    this.last = at;
    this.onDraw(at, false);
  }
}
