"use strict";
// The painter of boards: SVG from a drawing (hrm_scale/puzzles/drawing.py) and lists of tokens. Colours come from
// the theme, sizes from style sheets: a board needs no painting when the theme or its width changes.

const CELL = 20; // units of the picture, whatever its size on the screen
const SOFT = ["", "floor"]; // fills that give way to the colours of marks

const squares = (places) => places.map(([row, column]) => `M${column * CELL} ${row * CELL}h${CELL}v${CELL}h${-CELL}z`).join("");
const colour = (name) => (name.startsWith("#") ? name : `var(--${name})`);

/** Black or white, whichever is seen on a colour "#rrggbb". */
function contrast(fill) {
  const [red, green, blue] = [1, 3, 5].map((at) => parseInt(fill.slice(at, at + 2), 16) / 255);
  return 0.3 * red + 0.59 * green + 0.11 * blue > 0.5 ? "#111" : "#fff";
}

/** A colour for every token: its fill, else a hue far from that of its neighbours (the golden angle). */
function tokenColour(drawing, token) {
  const fill = drawing.tokens[token]?.fill;
  return fill ? colour(fill) : `hsl(${(token * 137.5) % 360} 52% 60%)`;
}

const tokenName = (drawing, token) => drawing.tokens[token]?.name || `token ${token}`;

/** Tokens as text, a line per row. */
function boardText(drawing, [, columns], tokens) {
  const glyphs = Array.from(tokens, (token) => drawing.tokens[token]?.glyph.trim() || ".");
  return glyphs.map((glyph, at) => (at && at % columns === 0 ? `\n${glyph}` : glyph)).join("");
}

/** [top, left, rows, columns] around all cells of some boards whose tokens have a fill; all of it where none has. */
function cropOf(drawing, ...boards) {
  const filled = (at) => boards.some((tokens) => tokens && drawing.tokens[tokens[at]]?.fill);
  let [top, left, bottom, right] = [drawing.height, drawing.width, 0, 0];
  for (let at = 0; at < drawing.height * drawing.width; at += 1) {
    if (!filled(at)) continue;
    const [row, column] = [Math.floor(at / drawing.width), at % drawing.width];
    [top, left, bottom, right] = [Math.min(top, row), Math.min(left, column), Math.max(bottom, row + 1), Math.max(right, column + 1)];
  }
  return bottom ? [top, left, bottom - top, right - left] : [0, 0, drawing.height, drawing.width];
}

/**
 * One board. `paint` draws a state, again and again: {shown, question, shape, part, marks, changed, heat, thumb}.
 * shown, question: tokens, row after row; without a question all of `shown` is given. shape: [rows, columns] where
 * the tokens are a grid of another size than the drawing's. part: [top, left, rows, columns] to show; by default all,
 * or with `drawing.crop` the grid inside its frame. marks, changed: flags of cells at fault, of cells that changed.
 * heat: from 0 to 1, how unsure each cell is. thumb: a picture too small for glyphs.
 */
class Board {
  /** label: its name for screen readers; none for a picture that repeats what is said beside it. */
  constructor(drawing, label, className = "board") {
    this.drawing = drawing;
    this.label = label;
    this.element = svg("svg", label ? { class: className, role: "img" } : { class: className, "aria-hidden": "true" });
    this.element.board = this;
  }

  paint(state) {
    const { drawing, element } = this;
    this.state = { marks: [], changed: [], heat: [], ...state, question: state.question || state.shown };
    this.shape = state.shape || [drawing.height, drawing.width];
    const framed = drawing.crop && !state.shape && !state.part;
    this.part = state.part || (framed ? cropOf(drawing, this.state.shown) : [0, 0, ...this.shape]);
    const [top, left, rows, columns] = this.part;
    element.setAttribute("viewBox", [left, top, columns, rows].map((side) => side * CELL).join(" "));
    element.style.setProperty("--rows", rows);
    element.style.setProperty("--columns", columns);
    if (this.label) element.setAttribute("aria-label", `${this.label}, ${rows} rows, ${columns} columns`);
    this.cells = [];
    for (let row = top; row < top + rows; row += 1) {
      for (let column = left; column < left + columns; column += 1) {
        if (row * this.shape[1] + column < state.shown.length) this.cells.push(this.#cell(row, column));
      }
    }
    const frame = { class: drawing.lines.length || drawing.regions ? "thick frame" : "thin frame", x: left * CELL, y: top * CELL, width: columns * CELL, height: rows * CELL };
    element.replaceChildren(...this.#fills(), ...(state.thumb ? [] : this.#grid()), ...this.#path(), ...(state.thumb ? [] : this.#glyphs()),
      ...this.#lines(), svg("rect", frame), ...this.cells.flatMap((cell) => this.#marks(cell)));
  }

  #token(tokens, row, column) {
    const [rows, columns] = this.shape;
    return row < 0 || column < 0 || row >= rows || column >= columns ? undefined : tokens[row * columns + column];
  }

  #cell(row, column) {
    const { drawing, state } = this;
    const at = row * this.shape[1] + column;
    const known = state.question.length === state.shown.length;
    const [token, asked] = [state.shown[at], known ? state.question[at] : undefined];
    const look = drawing.tokens[token] || { name: `token ${token}`, glyph: "?", fill: "", ink: "" };
    const line = drawing.path.length && token === drawing.path[0];
    const disc = drawing.path.indexOf(token) > 0;
    const below = drawing.background && asked !== undefined ? drawing.tokens[asked]?.fill || "" : "";
    const cell = { at, row, column, token, look, line, disc, fill: line || disc ? "floor" : look.fill || below };
    cell.given = known && drawing.blank !== null && asked === token && token !== drawing.blank;
    cell.soft = SOFT.includes(cell.fill);
    cell.wrong = Boolean(state.marks[at]);
    cell.changed = Boolean(state.changed[at]);
    // A fill says it all, unless the token has an ink for its glyph.
    cell.glyph = token === drawing.blank || (look.fill && !look.ink && !disc) || line ? "" : look.glyph.trim();
    // What lies around a grid: padding, and the marks of its end.
    if (drawing.crop && !look.fill && !cell.glyph) cell.glyph = token ? "/" : "·";
    // An answer that leaves open what it should fill.
    if (state.shown !== state.question && drawing.blank !== null && !cell.glyph && !look.fill && !below) cell.glyph = "?";
    return cell;
  }

  /** One path per colour. */
  #fills() {
    const places = new Map();
    for (const cell of this.cells) {
      let fill = cell.fill && colour(cell.fill);
      if (cell.soft && cell.wrong) fill = "var(--wrong-fill)";
      else if (cell.soft && cell.changed) fill = "var(--changed-fill)";
      else if (!fill && this.state.thumb && cell.glyph) fill = tokenColour(this.drawing, cell.token);
      else if (!fill) fill = cell.given ? "var(--given-fill)" : "var(--panel)";
      if (!places.has(fill)) places.set(fill, []);
      places.get(fill).push([cell.row, cell.column]);
    }
    const paths = [...places].map(([fill, cells]) => {
      const path = svg("path", { class: "fill", d: squares(cells) });
      path.style.fill = fill;
      return path;
    });
    const shaded = this.cells.filter((cell) => !cell.fill.startsWith("#") && this.state.heat[cell.at] > 0);
    return [...paths, ...shaded.map(({ row, column, at }) =>
      svg("path", { class: "heat", "data-at": at, "fill-opacity": 0.9 * this.state.heat[at], d: squares([[row, column]]) }))];
  }

  #grid() {
    const [top, left, rows, columns] = this.part;
    const across = Array.from({ length: rows - 1 }, (_, at) => `M${left * CELL} ${(top + at + 1) * CELL}h${columns * CELL}`);
    const down = Array.from({ length: columns - 1 }, (_, at) => `M${(left + at + 1) * CELL} ${top * CELL}v${rows * CELL}`);
    return [svg("path", { class: "thin", d: across.concat(down).join("") })];
  }

  /** The lines of the drawing, and those between regions. */
  #lines() {
    const { drawing, state, shape } = this;
    if (shape[0] !== drawing.height || shape[1] !== drawing.width) return [];
    const lines = drawing.lines.map(([row, column, toRow, toColumn]) => `M${column * CELL} ${row * CELL}L${toColumn * CELL} ${toRow * CELL}`);
    for (const { row, column } of drawing.regions ? this.cells : []) {
      const here = this.#token(state.question, row, column);
      const [right, below] = [this.#token(state.question, row, column + 1), this.#token(state.question, row + 1, column)];
      if (right !== undefined && right !== here) lines.push(`M${(column + 1) * CELL} ${row * CELL}v${CELL}`);
      if (below !== undefined && below !== here) lines.push(`M${column * CELL} ${(row + 1) * CELL}h${CELL}`);
    }
    return lines.length ? [svg("path", { class: drawing.regions ? "thick regions" : "thick", d: lines.join("") })] : [];
  }

  /** The line through all cells of a path, and the discs at its ends. */
  #path() {
    const { drawing, state } = this;
    const [line] = drawing.path;
    const steps = [];
    for (const { row, column, token } of this.cells) {
      if (!drawing.path.includes(token)) continue;
      const from = `M${(column + 0.5) * CELL} ${(row + 0.5) * CELL}`;
      if (token === line) steps.push(`${from}h0`);
      for (const [next, move] of [[this.#token(state.shown, row, column + 1), "h"], [this.#token(state.shown, row + 1, column), "v"]]) {
        // Two ends side by side are joined by no line.
        if (drawing.path.includes(next) && (token === line || next === line)) steps.push(`${from}${move}${CELL}`);
      }
    }
    if (!drawing.path.length) return [];
    const path = svg("path", { class: "path", d: steps.join("") });
    path.style.stroke = colour(drawing.tokens[line].fill || "path");
    return [path, ...this.cells.filter((cell) => cell.disc).map(({ row, column, look }) => {
      const disc = svg("circle", { cx: (column + 0.5) * CELL, cy: (row + 0.5) * CELL, r: CELL / 2 });
      disc.style.fill = look.fill ? colour(look.fill) : "var(--accent)";
      return disc;
    })];
  }

  #glyphs() {
    const { drawing } = this;
    return this.cells.filter((cell) => cell.glyph).map((cell) => {
      const names = [cell.given ? "given" : "answer", cell.wrong && cell.soft && !cell.disc && "wrong", drawing.crop && "outside"].filter(Boolean);
      const text = svg("text", { class: names.join(" "), "data-at": cell.at, x: (cell.column + 0.5) * CELL, y: (cell.row + (cell.glyph === "." ? 0.56 : 0.71)) * CELL }, cell.glyph);
      const { look, fill } = cell;
      if (look.ink) text.style.fill = colour(look.ink);
      else if (fill.startsWith("#")) text.style.fill = contrast(fill);
      else if (cell.disc || !cell.soft) text.style.fill = "#fff";
      if ([...cell.glyph].length > 1) text.style.fontSize = `${20 / [...cell.glyph].length}px`;
      return text;
    });
  }

  /** Frames, strips and corners stand on a colour that no mark may hide; other cells were coloured. */
  #marks({ at, row, column, fill, soft, wrong, changed, look, disc }) {
    const [x, y] = [column * CELL, row * CELL];
    const square = (name, inset) => svg("rect", { class: name, "data-at": at, x: x + inset, y: y + inset, width: CELL - 2 * inset, height: CELL - 2 * inset });
    const parts = [];
    const heat = fill.startsWith("#") ? 0.65 * CELL * (this.state.heat[at] || 0) : 0;
    if (heat > 0) parts.push(svg("path", { class: "corner", "data-at": at, d: `M${x} ${y}h${heat}l${-heat} ${heat}z` }));
    if (wrong && (fill || look.fill || disc)) parts.push(square("ring inner", 1.2), square("ring", 1.2));
    if (changed && (wrong || !soft)) parts.push(svg("rect", { class: "strip", "data-at": at, x: x + 3.5, y: y + 0.79 * CELL, width: CELL - 7, height: 0.1 * CELL, rx: 0.5 }));
    return parts;
  }

  /** A cell in words. */
  describe(at) {
    const { drawing, state } = this;
    const cell = this.cells.find((one) => one.at === at);
    const words = [`${cell?.given ? "given " : ""}${tokenName(drawing, state.shown[at])}`];
    if (state.marks[at]) words.push("wrong");
    if (state.changed[at]) words.push("changed in this step");
    if (state.heat.length) words.push(`${Math.round(100 * (1 - state.heat[at]))} percent sure`);
    return words.join(", ");
  }

  /** The number of the cell under a pointer, -1 beside the board. */
  cellAt(event) {
    const box = this.element.getBoundingClientRect();
    const [top, left, rows, columns] = this.part;
    const row = Math.floor(((event.clientY - box.top) / box.height) * rows);
    const column = Math.floor(((event.clientX - box.left) / box.width) * columns);
    if (row < 0 || column < 0 || row >= rows || column >= columns) return -1;
    return (top + row) * this.shape[1] + left + column;
  }
}
