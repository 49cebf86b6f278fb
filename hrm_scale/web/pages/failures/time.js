"use strict";
// A puzzle over the ACT steps: halt head, wrong and changed cells, and every cell that ever changed.

const GUTTER = 92;
const HALT = 46;
const COUNTS = 52;

/** Cells that matter and change at least once, in board order. */
function changing(puzzle) {
  const cells = [];
  for (let at = 0; at < puzzle.label.length; at += 1) {
    if (puzzle.labelled[at] && puzzle.steps.some((step, n) => n > 0 && step[at] !== puzzle.steps[n - 1][at])) cells.push(at);
  }
  return cells;
}

/** Wrong and changed cells after each step, as numbers. */
function countsOf(puzzle) {
  const count = (test) => puzzle.label.reduce((sum, _, at) => sum + Number(puzzle.labelled[at] && test(at)), 0);
  return puzzle.steps.map((step, n) => ({
    wrong: count((at) => step[at] !== puzzle.label[at]),
    moved: n ? count((at) => step[at] !== puzzle.steps[n - 1][at]) : 0,
  }));
}

const sure = (value) => (value === null ? 0 : 1 / (1 + Math.exp(-value)));

function label(y, ...lines) {
  return lines.map((line, n) => svg("text", { x: GUTTER - 8, y: y + 13 * n, "text-anchor": "end" }, line));
}

function haltParts(puzzle, wide, top) {
  const points = puzzle.halt.map((value, n) => `${GUTTER + (n + 0.5) * wide},${top + (1 - sure(value)) * HALT}`);
  const middle = top + HALT / 2;
  return [
    ...label(top + 18, "halt head", "0 to 100 %"),
    svg("line", { class: "rule", x1: GUTTER, x2: GUTTER + wide * points.length, y1: middle, y2: middle }),
    svg("polyline", { class: "halt", points: points.join(" ") }),
    ...puzzle.halt.map((value, n) =>
      svg("circle", { class: "value", cx: GUTTER + (n + 0.5) * wide, cy: top + (1 - sure(value)) * HALT, r: 3 },
        svg("title", {}, `step ${n + 1}: ${(100 * sure(value)).toFixed(1)} % sure`)),
    ),
  ];
}

function countParts(puzzle, wide, top) {
  const counts = countsOf(puzzle);
  const most = Math.max(1, ...counts.map(({ wrong, moved }) => Math.max(wrong, moved)));
  const bar = (n, value, shift, name, word) => {
    const tall = (value / most) * (COUNTS - 4);
    return svg("rect", { class: name, x: GUTTER + (n + shift) * wide, y: top + COUNTS - tall, width: wide * 0.36, height: tall },
      svg("title", {}, `step ${n + 1}: ${value} ${word}`));
  };
  return [
    ...label(top + 20, "wrong and", `changed (${most})`),
    svg("line", { class: "rule", x1: GUTTER, x2: GUTTER + wide * counts.length, y1: top + COUNTS, y2: top + COUNTS }),
    ...counts.flatMap(({ wrong, moved }, n) => [bar(n, wrong, 0.12, "count", "wrong"), bar(n, moved, 0.52, "swap", "changed")]),
  ];
}

/** A line for each cell: grey while right, a colour for each wrong value, a dot at each return. */
function stripParts(about, puzzle, wide, top, tall) {
  const parts = [];
  changing(puzzle).forEach((at, line) => {
    const y = top + line * tall;
    const where = `row ${Math.floor(at / about.drawing.width) + 1}, column ${(at % about.drawing.width) + 1}`;
    const had = new Set();
    let from = 0;
    puzzle.steps.forEach((step, n) => {
      const value = step[at];
      if (n && value !== puzzle.steps[n - 1][at] && had.has(value)) {
        parts.push(svg("circle", { class: "seen", "data-return": "", cx: GUTTER + n * wide + Math.min(5, wide / 2), cy: y + tall / 2, r: Math.min(2.6, tall * 0.32) }));
      }
      had.add(value);
      if (n + 1 < puzzle.steps.length && puzzle.steps[n + 1][at] === value) return;
      const right = value === puzzle.label[at];
      const run = svg("rect", { x: GUTTER + from * wide, y, width: (n + 1 - from) * wide - 1, height: Math.max(1, tall - (tall > 3 ? 1 : 0)), class: right ? "calm" : "" },
        svg("title", {}, `${where}: ${tokenName(about.drawing, value)}${right ? ", right" : ""}, steps ${from + 1} to ${n + 1}`));
      if (!right) run.style.fill = tokenColour(about.drawing, value);
      // Behind the dots of earlier runs.
      parts.unshift(run);
      from = n + 1;
    });
  });
  return parts;
}

/** The chart, `width` pixels wide. choose(step) is called when a column is clicked. */
function drawTime(about, puzzle, width, choose) {
  const steps = puzzle.steps.length;
  const wide = Math.max(4, (width - GUTTER - 4) / steps);
  const lines = changing(puzzle).length;
  const tall = Math.max(2, Math.min(11, Math.floor(330 / Math.max(1, lines))));
  const tops = [6, 6 + HALT + 14, 6 + HALT + COUNTS + 44];
  const height = tops[2] + lines * tall + 6;
  const every = Math.ceil(steps / Math.max(1, Math.floor((width - GUTTER) / 22)));
  const ticks = puzzle.steps.map((_, n) => (n % every ? "" : svg("text", { x: GUTTER + (n + 0.5) * wide, y: tops[1] + COUNTS + 15, "text-anchor": "middle" }, String(n + 1))));
  const now = svg("rect", { class: "now", y: 0, width: wide, height });
  const chart = svg("svg", { class: "chart", width, height, viewBox: `0 0 ${width} ${height}`, role: "img",
    "aria-label": `Halt head, wrong and changed cells, and the ${lines} cells that change, over ${steps} ACT steps` },
    ...haltParts(puzzle, wide, tops[0]), ...countParts(puzzle, wide, tops[1]), ...ticks,
    ...label(tops[1] + COUNTS + 15, "ACT step"), ...label(tops[2] + 11, plural(lines, "cell"), "that change"),
    ...stripParts(about, puzzle, wide, tops[2], tall), now);
  chart.addEventListener("click", (event) => {
    const at = Math.floor((event.clientX - chart.getBoundingClientRect().left - GUTTER) / wide);
    if (at >= 0 && at < steps) choose(at + 1);
  });
  chart.point = (step) => now.setAttribute("x", GUTTER + (step - 1) * wide);
  return chart;
}
