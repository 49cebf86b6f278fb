"use strict";
// How tokens of each kind of data set look. A painter draws one grid onto a canvas.
(function (V) {
  const ARC = ["#000000", "#0074D9", "#FF4136", "#2ECC40", "#FFDC00", "#AAAAAA", "#F012BE", "#FF851B", "#7FDBFF", "#870C25"];
  const ARC_NAMES = ["black", "blue", "red", "green", "yellow", "grey", "magenta", "orange", "light blue", "maroon"];
  const MAZE_NAMES = ["padding", "wall", "free", "start", "goal", "path"];
  V.ARC = ARC;

  /** A colour of the present theme. */
  const css = (name) => getComputedStyle(document.documentElement).getPropertyValue(`--${name}`).trim();
  V.css = css;

  /** A token in words. */
  V.tokenName = function (kind, token) {
    if (kind === "arc") {
      if (token === 0) return "padding";
      if (token === 1) return "end of line";
      return token < 12 ? `${token - 2} ${ARC_NAMES[token - 2]}` : "unknown";
    }
    if (kind === "sudoku") return token === 0 ? "padding" : token === 1 ? "empty" : `digit ${token - 1}`;
    if (kind === "maze") return MAZE_NAMES[token] || "unknown";
    return "";
  };

  /** Runs `paint(row, column, token)` for every cell. */
  function each(grid, paint) {
    for (let at = 0; at < grid.tokens.length; at += 1) {
      paint(Math.floor(at / grid.columns), at % grid.columns, grid.tokens[at], at);
    }
  }

  function hatch(ctx, x, y, size, colour) {
    ctx.save();
    ctx.beginPath();
    ctx.rect(x, y, size, size);
    ctx.clip();
    ctx.strokeStyle = colour;
    ctx.lineWidth = 1;
    ctx.beginPath();
    for (let d = -size; d < size; d += 4) {
      ctx.moveTo(x + d, y + size);
      ctx.lineTo(x + d + size, y);
    }
    ctx.stroke();
    ctx.restore();
  }

  function paintArc(ctx, grid, size) {
    const gap = size >= 6 ? 1 : 0;
    ctx.fillStyle = css(grid.framed ? "frame" : "gridline");
    ctx.fillRect(0, 0, grid.columns * size + gap, grid.rows * size + gap);
    each(grid, (row, column, token) => {
      const x = column * size + gap;
      const y = row * size + gap;
      const inner = size - gap;
      if (token >= 2 && token < 12) {
        ctx.fillStyle = ARC[token - 2];
        ctx.fillRect(x, y, inner, inner);
        return;
      }
      ctx.fillStyle = css("panel");
      ctx.fillRect(x, y, inner, inner);
      if (token === 1) hatch(ctx, x, y, inner, css("hatch"));
      else if (token === 0 && size >= 6) {
        ctx.fillStyle = css("frame");
        ctx.fillRect(x + inner / 2 - 0.5, y + inner / 2 - 0.5, 1, 1);
      }
    });
  }

  function paintSudoku(ctx, grid, size) {
    const [boxHeight, boxWidth] = grid.box;
    ctx.fillStyle = css("panel");
    ctx.fillRect(0, 0, grid.columns * size + 1, grid.rows * size + 1);
    ctx.textAlign = "center";
    ctx.textBaseline = "middle";
    each(grid, (row, column, token, at) => {
      const given = grid.given ? grid.given[at] > 1 : token > 1;
      const wrong = grid.wrong && grid.wrong[at];
      if (wrong || given) {
        ctx.fillStyle = css(wrong ? "wrong-fill" : "given-fill");
        ctx.fillRect(column * size, row * size, size, size);
      }
      if (token === 1) return;
      if (size < 9) {
        // Too small for digits: a colour each, so that a relabelling can be seen.
        ctx.fillStyle = `hsl(${(token - 2) * 40} 42% 58%)`;
        ctx.fillRect(column * size, row * size, size, size);
        return;
      }
      ctx.font = `${given ? 650 : 400} ${Math.round(size * 0.56)}px ${css("sans")}`;
      ctx.fillStyle = css(wrong ? "wrong" : given ? "text" : "solution");
      const text = token > 1 && token < 11 ? String(token - 1) : "?";
      ctx.fillText(text, column * size + size / 2 + 0.5, row * size + size / 2 + size * 0.04 + 0.5);
    });
    const line = (x, y, width, height, strong) => {
      ctx.fillStyle = css(strong ? "boxline" : "cellline");
      ctx.fillRect(x, y, width, height);
    };
    const strong = (at, step) => step > 0 && at % step === 0;
    for (const pass of [false, true]) {
      for (let row = 0; row <= grid.rows; row += 1) {
        if (strong(row, boxHeight) === pass) line(0, row * size, grid.columns * size + 1, size > 14 && pass ? 1.5 : 1, pass);
      }
      for (let column = 0; column <= grid.columns; column += 1) {
        if (strong(column, boxWidth) === pass) line(column * size, 0, size > 14 && pass ? 1.5 : 1, grid.rows * size + 1, pass);
      }
    }
  }

  function paintMaze(ctx, grid, size) {
    const open = (row, column) => {
      if (row < 0 || column < 0 || row >= grid.rows || column >= grid.columns) return false;
      return grid.tokens[row * grid.columns + column] >= 3;
    };
    ctx.fillStyle = css("floor");
    ctx.fillRect(0, 0, grid.columns * size, grid.rows * size);
    each(grid, (row, column, token) => {
      if (token >= 2) return;
      ctx.fillStyle = css(token === 1 ? "wall" : "hatch");
      ctx.fillRect(column * size, row * size, size, size);
    });
    const hasPath = grid.tokens.includes(5);
    if (hasPath) {
      ctx.strokeStyle = css("path");
      ctx.lineWidth = Math.max(2, size * 0.34);
      ctx.lineCap = "round";
      ctx.beginPath();
      each(grid, (row, column, token) => {
        if (token < 3) return;
        const x = (column + 0.5) * size;
        const y = (row + 0.5) * size;
        if (token === 5) {
          ctx.moveTo(x, y);
          ctx.lineTo(x, y);
        }
        if (open(row, column + 1)) {
          ctx.moveTo(x, y);
          ctx.lineTo(x + size, y);
        }
        if (open(row + 1, column)) {
          ctx.moveTo(x, y);
          ctx.lineTo(x, y + size);
        }
      });
      ctx.stroke();
    }
    ctx.strokeStyle = css("frame");
    ctx.lineWidth = 1;
    ctx.strokeRect(0.5, 0.5, grid.columns * size - 1, grid.rows * size - 1);
    ctx.textAlign = "center";
    ctx.textBaseline = "middle";
    each(grid, (row, column, token) => {
      if (token !== 3 && token !== 4) return;
      ctx.fillStyle = css(token === 3 ? "start" : "goal");
      ctx.beginPath();
      ctx.arc((column + 0.5) * size, (row + 0.5) * size, size * 0.62, 0, 2 * Math.PI);
      ctx.fill();
      if (size < 8) return;
      ctx.fillStyle = "#fff";
      ctx.font = `700 ${Math.round(size * 0.8)}px ${css("sans")}`;
      ctx.fillText(token === 3 ? "S" : "G", (column + 0.5) * size, (row + 0.55) * size);
    });
  }

  function paintTokens(ctx, grid, size) {
    ctx.fillStyle = css("gridline");
    ctx.fillRect(0, 0, grid.columns * size + 1, grid.rows * size + 1);
    ctx.textAlign = "center";
    ctx.textBaseline = "middle";
    ctx.font = `${Math.round(size * 0.48)}px ${css("sans")}`;
    each(grid, (row, column, token) => {
      // Neighbouring tokens get hues far apart (the golden angle); padding has none.
      ctx.fillStyle = token === grid.pad ? css("panel") : `hsl(${(token * 137.5) % 360} 52% 62%)`;
      ctx.fillRect(column * size + 1, row * size + 1, size - 1, size - 1);
      if (size < 15 || token === grid.pad) return;
      ctx.fillStyle = "#111";
      ctx.fillText(String(token), (column + 0.5) * size + 0.5, (row + 0.55) * size + 0.5);
    });
  }

  /** Marks cells that differ from the label: red with a light line inside, visible on any colour. */
  function paintWrong(ctx, grid, size) {
    const edge = Math.max(1.5, Math.min(3, size / 8));
    each(grid, (row, column, token, at) => {
      if (!grid.wrong[at]) return;
      const x = column * size + (grid.kind === "maze" ? 0 : 0.5);
      const y = row * size + (grid.kind === "maze" ? 0 : 0.5);
      ctx.lineWidth = edge;
      ctx.strokeStyle = css("wrong");
      ctx.strokeRect(x + edge / 2, y + edge / 2, size - edge, size - edge);
      if (size < 7 || grid.kind === "maze") return;
      ctx.lineWidth = 1;
      ctx.strokeStyle = "#fff";
      ctx.strokeRect(x + edge + 0.5, y + edge + 0.5, size - 2 * edge - 1, size - 2 * edge - 1);
    });
  }

  const PAINTERS = { arc: paintArc, sudoku: paintSudoku, maze: paintMaze };

  /** Draw a grid with cells of `size` CSS pixels, sharp on every screen. */
  V.paint = function (canvas, grid, size) {
    const extra = grid.kind === "maze" ? 0 : 1;
    const width = grid.columns * size + extra;
    const height = grid.rows * size + extra;
    const scale = Math.max(1, window.devicePixelRatio || 1);
    canvas.width = Math.round(width * scale);
    canvas.height = Math.round(height * scale);
    canvas.style.width = `${width}px`;
    canvas.style.height = `${height}px`;
    const ctx = canvas.getContext("2d");
    ctx.scale(scale, scale);
    (PAINTERS[grid.kind] || paintTokens)(ctx, grid, size);
    if (grid.wrong && grid.kind !== "sudoku") paintWrong(ctx, grid, size);
  };
})(window.Viewer);
