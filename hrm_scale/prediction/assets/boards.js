"use strict";
// Drawing one grid of any kind. A grid is {h, w, cells}: character 48 + token for each cell.
const ARC = ["#000000", "#0074D9", "#FF4136", "#2ECC40", "#FFDC00", "#AAAAAA", "#F012BE", "#FF851B", "#7FDBFF", "#870C25"];
const [FREE, START, GOAL, PATH] = [2, 3, 4, 5];
const theme = (name) => getComputedStyle(document.documentElement).getPropertyValue(`--${name}`).trim();

const tokenAt = (grid, at) => grid.cells.charCodeAt(at) - 48;

function fill(ctx, colour, x, y, width, height) {
  ctx.fillStyle = colour;
  ctx.fillRect(x, y, width, height);
}

function letter(ctx, text, colour, weight, x, y, size) {
  ctx.fillStyle = colour;
  ctx.font = `${weight} ${Math.round(size * 0.6)}px system-ui, sans-serif`;
  ctx.textAlign = "center";
  ctx.textBaseline = "middle";
  ctx.fillText(text, x + size / 2, y + size * 0.54);
}

const PAINT = {
  sudoku(ctx, grid, look, cell) {
    const { at, token, x, y, size } = cell;
    const given = look.question && tokenAt(look.question, at) > 1;
    const wrong = look.wrong.has(at);
    fill(ctx, theme(wrong ? "wrong-soft" : given ? "given" : "panel"), x, y, size, size);
    if (token === 1) return;
    const colour = theme(wrong ? "wrong" : given ? "text" : "accent");
    letter(ctx, look.symbols[token] || "?", colour, given ? 700 : 400, x, y, size);
  },
  maze(ctx, grid, look, cell) {
    const { at, token, x, y, size } = cell;
    const wrong = look.wrong.has(at);
    const ground = { 1: "wall", 3: "start", 4: "goal" }[token] || "panel";
    fill(ctx, theme(wrong ? "wrong-soft" : ground), x, y, size, size);
    if (token === PATH) {
      const inset = size * 0.2;
      fill(ctx, theme(wrong ? "wrong" : "path"), x + inset, y + inset, size - 2 * inset, size - 2 * inset);
    } else if (token === START || token === GOAL) {
      letter(ctx, look.symbols[token], wrong ? theme("wrong") : "#ffffff", 700, x, y, size * 1.02);
    } else if (token !== FREE && (wrong || token === 0)) {
      letter(ctx, look.symbols[token] || "?", theme("wrong"), 700, x, y, size);
    }
  },
  arc(ctx, grid, look, cell) {
    const { at, token, x, y, size } = cell;
    fill(ctx, ARC[token - 2] || theme("panel"), x, y, size, size);
    ctx.strokeStyle = "#77777799";
    ctx.lineWidth = 1;
    ctx.strokeRect(x + 0.5, y + 0.5, size - 1, size - 1);
    if (!look.wrong.has(at)) return;
    ctx.beginPath();
    ctx.moveTo(x + size * 0.25, y + size * 0.25);
    ctx.lineTo(x + size * 0.75, y + size * 0.75);
    ctx.moveTo(x + size * 0.75, y + size * 0.25);
    ctx.lineTo(x + size * 0.25, y + size * 0.75);
    for (const [width, colour] of [[Math.max(3, size / 6), "#ffffff"], [Math.max(1.5, size / 12), "#000000"]]) {
      ctx.lineWidth = width;
      ctx.strokeStyle = colour;
      ctx.stroke();
    }
  },
};

/** Lines between the cells and, thicker, between the boxes of a Sudoku. */
function lines(ctx, grid, boxes, size) {
  for (const thick of [false, true]) {
    ctx.fillStyle = theme(thick ? "thick" : "thin");
    for (let row = 0; row <= grid.h; row += 1) {
      if ((row % boxes[0] === 0) === thick) ctx.fillRect(0, row * size - (thick ? 1 : 0), grid.w * size, thick ? 2 : 1);
    }
    for (let column = 0; column <= grid.w; column += 1) {
      if ((column % boxes[1] === 0) === thick) ctx.fillRect(column * size - (thick ? 1 : 0), 0, thick ? 2 : 1, grid.h * size);
    }
  }
}

/** Draw a grid as wide as `room` allows, sharp on every screen. look: {kind, symbols, boxes,
    question, wrong, changed: Set of cells}. */
function drawGrid(canvas, grid, look, room) {
  const size = Math.max(4, Math.min(44, Math.floor(Math.min(room, 420) / Math.max(1, grid.w))));
  const scale = window.devicePixelRatio || 1;
  const [width, height] = [Math.max(1, grid.w) * size, Math.max(1, grid.h) * size];
  canvas.width = width * scale;
  canvas.height = height * scale;
  canvas.style.width = `${width}px`;
  const ctx = canvas.getContext("2d");
  ctx.scale(scale, scale);
  for (let at = 0; at < grid.cells.length; at += 1) {
    const cell = { at, token: tokenAt(grid, at), x: (at % grid.w) * size, y: Math.floor(at / grid.w) * size, size };
    PAINT[look.kind](ctx, grid, look, cell);
  }
  if (look.boxes && grid.h) lines(ctx, grid, look.boxes, size);
  const edge = Math.max(1.5, size / 12);
  ctx.strokeStyle = theme("changed");
  ctx.lineWidth = edge;
  for (const at of look.changed) {
    ctx.strokeRect((at % grid.w) * size + edge, Math.floor(at / grid.w) * size + edge, size - 2 * edge, size - 2 * edge);
  }
}
