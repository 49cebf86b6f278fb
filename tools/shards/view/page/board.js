"use strict";
// A board on the page: which part of the tokens it shows, its canvas, and what pointing at it says.
(function (V) {
  /** The grid a board shows: undone, the true grid in its frame, or all tokens. */
  V.gridOf = function (board, options) {
    const about = V.about;
    const grid = { kind: about.drawn, box: about.box, pad: about.pad, top: 0, left: 0 };
    if (options.undo && board.u) {
      const [rows, columns, tokens] = board.u;
      return { ...grid, rows, columns, tokens: V.decode(tokens), undone: true };
    }
    const tokens = V.decode(board.t);
    const whole = { ...grid, rows: about.height, columns: about.width, tokens, framed: Boolean(board.c) };
    return board.c && !options.frame ? cut(whole, board.c) : whole;
  };

  function cut(whole, [top, left, rows, columns]) {
    const tokens = new Uint8Array(rows * columns);
    for (let row = 0; row < rows; row += 1) {
      const from = (top + row) * whole.columns + left;
      tokens.set(whole.tokens.subarray(from, from + columns), row * columns);
    }
    return { ...whole, rows, columns, tokens, top, left, framed: false };
  }

  /** Which cells of a prediction differ from the label where the label counts. */
  V.mark = function (grid, label) {
    grid.label = label.tokens;
    grid.wrong = grid.tokens.map((token, at) => Number(label.tokens[at] !== V.about.ignore && token !== label.tokens[at]));
    return grid;
  };

  /** Cell size in whole pixels so that a grid fits into `box` pixels. */
  V.cellSize = (rows, columns, box, most) =>
    Math.max(3, Math.min(most, Math.floor((box - 1) / Math.max(rows, columns, 1))));

  /** The kind's largest cell in CSS pixels. */
  V.largestCell = () => ({ arc: 28, sudoku: 60, maze: 14 })[V.about.drawn] || 32;

  /** A figure with a canvas. `caption` is what the board is; also its name for screen readers. */
  V.board = function (grid, size, caption, note) {
    const canvas = V.el("canvas", { role: "img" });
    canvas.setAttribute("aria-label", `${caption}, ${grid.rows} rows, ${grid.columns} columns`);
    const shown = V.el("span", { className: "muted" }, note || "");
    const figure = V.el("figure", { className: "board" }, V.el("figcaption", {}, caption, shown), canvas);
    canvas.grid = grid;
    canvas.size = size;
    canvas.repaint = () => V.paint(canvas, canvas.grid, canvas.size);
    canvas.repaint();
    canvas.addEventListener("pointermove", (event) => tell(canvas, event));
    canvas.addEventListener("pointerdown", (event) => tell(canvas, event));
    canvas.addEventListener("pointerleave", hide);
    return figure;
  };

  function tell(canvas, event) {
    const { grid, size } = canvas;
    const box = canvas.getBoundingClientRect();
    const column = Math.floor((event.clientX - box.left) / size);
    const row = Math.floor((event.clientY - box.top) / size);
    if (row < 0 || column < 0 || row >= grid.rows || column >= grid.columns) {
      hide();
      return;
    }
    const at = row * grid.columns + column;
    const lines = [`${V.tokenName(grid.kind, grid.tokens[at]) || "token"} · token ${grid.tokens[at]}`];
    lines.push(`row ${row + grid.top}, column ${column + grid.left}`);
    if (grid.undone) lines[1] += " of the original";
    if (grid.wrong && grid.wrong[at]) {
      lines.push(`label: ${V.tokenName(grid.kind, grid.label[at]) || grid.label[at]}`);
    }
    const tip = V.byId("tip");
    tip.replaceChildren(...lines.map((line) => V.el("div", {}, line)));
    tip.hidden = false;
    const left = Math.min(event.clientX + 14, document.documentElement.clientWidth - tip.offsetWidth - 8);
    const below = event.clientY + 18 + tip.offsetHeight < window.innerHeight;
    tip.style.left = `${Math.max(4, left)}px`;
    tip.style.top = `${below ? event.clientY + 18 : event.clientY - tip.offsetHeight - 10}px`;
  }

  function hide() {
    V.byId("tip").hidden = true;
  }
  V.hideTip = hide;

  /** Draw everything again, in the colours of a new theme. */
  V.repaintAll = () => {
    for (const canvas of document.querySelectorAll("canvas")) canvas.repaint?.();
  };

  /** A small picture of a board, at most `box` pixels wide and high. */
  V.thumbnail = function (board, box, options) {
    const grid = V.gridOf(board, options || {});
    const canvas = V.el("canvas", { "aria-hidden": "true" });
    const size = Math.max(1, Math.min(18, Math.floor(box / Math.max(grid.rows, grid.columns, 1))));
    canvas.grid = grid;
    canvas.size = size;
    canvas.repaint = () => V.paint(canvas, grid, size);
    canvas.repaint();
    return canvas;
  };
})(window.Viewer);
