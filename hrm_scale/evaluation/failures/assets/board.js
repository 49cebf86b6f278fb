"use strict";
// Drawing boards as SVG: the question, the known answer, an answer with its wrong and changed cells.

const ARC = ["#000000", "#0074D9", "#FF4136", "#2ECC40", "#FFDC00", "#AAAAAA", "#F012BE", "#FF851B", "#7FDBFF", "#870C25"];
const MAZE = ["none", "wall", "free", "start", "goal", "path"];
const CELL = 20;

/** An SVG element. */
function svg(tag, attributes, ...children) {
  const element = document.createElementNS("http://www.w3.org/2000/svg", tag);
  for (const [name, value] of Object.entries(attributes || {})) element.setAttribute(name, value);
  element.append(...children);
  return element;
}

/** An HTML element; text is never read as HTML. */
function el(tag, properties, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(properties || {})) {
    if (name.includes("-") || name === "role" || name === "scope" || name === "for") element.setAttribute(name, value);
    else element[name] = value;
  }
  element.append(...children.filter((child) => child !== null));
  return element;
}

/** The colour of a token where tokens are told apart by colour. */
function colourOf(drawn, token) {
  if (drawn === "arc" && token >= 2 && token < 12) return ARC[token - 2];
  // Neighbouring tokens get hues far apart (the golden angle).
  return `hsl(${(token * 137.5) % 360} 52% 60%)`;
}

/** A token in words. */
function tokenName(drawn, token) {
  if (drawn === "sudoku") return token < 2 ? "empty" : `${token - 1}`;
  if (drawn === "maze") return token ? MAZE[token] || "unknown" : "padding";
  if (drawn === "arc") return token > 1 ? `colour ${token - 2}` : ["padding", "end of line"][token];
  return `token ${token}`;
}

/** One cell without marks. `given`: it is a clue of a Sudoku. `bad`: it is wrong. */
function cellOf(about, token, x, y, given, bad) {
  const place = { x, y, width: CELL, height: CELL };
  const drawn = about.board.drawn;
  const middle = { x: x + CELL / 2, y: y + CELL * 0.71 };
  if (drawn === "sudoku") {
    const name = bad ? "bad" : given ? "given" : "";
    const field = svg("rect", { ...place, class: `cell ${name}` });
    if (token === 1) return [field];
    const digit = token > 1 && token < 11 ? String(token - 1) : "?";
    return [field, svg("text", { ...middle, class: name }, digit)];
  }
  if (drawn === "maze") {
    const field = svg("rect", { ...place, class: `cell ${MAZE[token] || "none"}` });
    if (token !== 3 && token !== 4) return [field];
    return [field, svg("text", { ...middle, class: "light" }, token === 3 ? "S" : "G")];
  }
  if (drawn === "arc" && token < 2) return [svg("rect", { ...place, class: "cell none" })];
  const field = svg("rect", { ...place, class: "cell" });
  if (drawn === "tokens" && token === about.pad) return [field];
  field.style.fill = colourOf(drawn, token);
  if (drawn === "arc" || about.cells > 400) return [field];
  return [field, svg("text", { ...middle, class: "dark" }, String(token))];
}

/** The marks on a cell. */
function marksOf(about, x, y, bad, moved) {
  const marks = [];
  const box = (inset) => ({ x: x + inset, y: y + inset, width: CELL - 2 * inset, height: CELL - 2 * inset });
  const digits = about.board.drawn === "sudoku";
  if (bad && !digits) marks.push(svg("rect", { ...box(1.5), class: "ring" }), svg("rect", { ...box(3.5), class: "ring inner" }));
  if (moved && digits) marks.push(svg("rect", { ...box(2), class: "moved" }));
  if (moved && !digits) marks.push(svg("circle", { cx: x + CELL / 2, cy: y + CELL / 2, r: CELL * 0.2, class: "dot" }));
  return marks;
}

/**
 * A board. tokens: one a cell. window: [first row, first column, rows, columns] that are shown.
 * given: the question, to tell clues from answers. shown, wrong, moved: flags of cells, or null.
 */
function drawBoard(about, tokens, window, name, { given = null, shown = null, wrong = null, moved = null } = {}) {
  const [top, left, rows, columns] = window;
  const cells = [];
  const marks = [];
  for (let row = 0; row < rows; row += 1) {
    for (let column = 0; column < columns; column += 1) {
      const at = (top + row) * about.board.columns + left + column;
      const [x, y] = [column * CELL, row * CELL];
      if (at >= tokens.length || (shown && !shown[at])) {
        cells.push(svg("rect", { x, y, width: CELL, height: CELL, class: "cell none" }));
        continue;
      }
      const bad = Boolean(wrong && wrong[at]);
      const change = Boolean(moved && moved[at]);
      const parts = cellOf(about, tokens[at], x, y, Boolean(given && given[at] > 1), bad);
      const words = `row ${top + row + 1}, column ${left + column + 1}: ${tokenName(about.board.drawn, tokens[at])}`;
      parts[0].append(svg("title", {}, `${words}${bad ? ", wrong" : ""}${change ? ", changed" : ""}`));
      cells.push(svg("g", { "data-cell": at, ...(bad && { "data-wrong": "" }), ...(change && { "data-moved": "" }) }, ...parts));
      marks.push(...marksOf(about, x, y, bad, change));
    }
  }
  const lines = [];
  const [boxHeight, boxWidth] = about.board.box;
  if (boxHeight) {
    for (let y = 0; y <= rows; y += boxHeight) lines.push(svg("line", { class: "box", x1: 0, x2: columns * CELL, y1: y * CELL, y2: y * CELL }));
    for (let x = 0; x <= columns; x += boxWidth) lines.push(svg("line", { class: "box", x1: x * CELL, x2: x * CELL, y1: 0, y2: rows * CELL }));
  } else {
    lines.push(svg("rect", { class: "outline", width: columns * CELL, height: rows * CELL }));
  }
  const size = { viewBox: `-1 -1 ${columns * CELL + 2} ${rows * CELL + 2}`, role: "img", "aria-label": name };
  return svg("svg", size, ...cells, ...lines, ...marks);
}
