"use strict";
// One failing puzzle: its boards, the slider over the ACT steps, the chart over them.

const plural = (count, noun) => `${count} ${noun}${count === 1 ? "" : "s"}`;

/** The part of the board with cells that matter: an ARC grid without the frame around it. */
function windowOf(about, puzzle) {
  const { drawn, rows, columns } = about.board;
  if (drawn !== "arc") return [0, 0, rows, columns];
  let [top, left, bottom, right] = [rows, columns, 0, 0];
  for (let at = 0; at < puzzle.label.length; at += 1) {
    if (!puzzle.shown[at] && puzzle.question[at] < 2) continue;
    const [row, column] = [Math.floor(at / columns), at % columns];
    [top, left, bottom, right] = [Math.min(top, row), Math.min(left, column), Math.max(bottom, row + 1), Math.max(right, column + 1)];
  }
  return [top, left, bottom - top, right - left];
}

function legendOf(about) {
  const key = (text, ...marks) => el("span", {}, svg("svg", { viewBox: "0 0 20 20", "aria-hidden": "true" }, ...marks), text);
  const digits = about.board.drawn === "sudoku";
  const bad = digits ? [svg("rect", { class: "cell bad", width: 20, height: 20 })] : marksOf(about, 0, 0, true, false);
  const strip = svg("rect", { class: "calm", y: 5, width: 20, height: 10 });
  return el("div", { className: "legend" }, key("wrong cell", ...bad), key("changed at this step", ...marksOf(about, 0, 0, false, true)),
    key("right in the strip; other colours are wrong values", strip), key("return", svg("circle", { class: "seen", cx: 10, cy: 10, r: 4 })));
}

/** Fills `panel` with a puzzle; returns what moves it to an ACT step. */
function showPuzzle(about, puzzle, panel) {
  const steps = puzzle.steps.length;
  const part = windowOf(about, puzzle);
  const board = (tokens, name, flags) => el("figure", {}, el("figcaption", {}, name), drawBoard(about, tokens, part, name, flags));
  const given = about.board.drawn === "sudoku" ? puzzle.question : null;
  const slider = el("input", { type: "range", min: 1, max: steps, id: "step" });
  const output = el("output", { for: "step" });
  const told = el("p", { className: "told", "aria-live": "polite" });
  const answer = el("figure", {});
  const time = el("div", { className: "time" });
  let chart = null;
  let current = steps;

  const go = (wanted) => {
    current = Math.max(1, Math.min(steps, wanted));
    const tokens = puzzle.steps[current - 1];
    const before = current > 1 ? puzzle.steps[current - 2] : tokens;
    const flag = (test) => tokens.map((token, at) => Number(puzzle.shown[at] && test(token, at)));
    const wrong = flag((token, at) => token !== puzzle.label[at]);
    const moved = flag((token, at) => token !== before[at]);
    const total = (flags) => flags.reduce((sum, one) => sum + one, 0);
    const words = `${total(wrong)} wrong, ${total(moved)} changed, halt head ${(100 * sure(puzzle.halt[current - 1])).toFixed(1)} % sure`;
    slider.value = current;
    slider.setAttribute("aria-valuetext", `ACT step ${current} of ${steps}`);
    output.value = `step ${current} of ${steps}`;
    told.textContent = `After this step: ${words}${puzzle.broken === current ? "; first contradiction" : ""}.`;
    answer.replaceChildren(el("figcaption", {}, "Model's answer"),
      drawBoard(about, tokens, part, `Model's answer after step ${current}: ${words}`, { given, shown: puzzle.shown, wrong, moved }));
    chart?.point(current);
  };
  slider.addEventListener("input", () => go(Number(slider.value)));

  const facts = [puzzle.rating === null ? null : `rating ${puzzle.rating}`, puzzle.source, `${puzzle.wrong} wrong`,
    plural(puzzle.returns, "return"), `${plural(puzzle.moving, "cell")} changed in the last quarter of the steps`,
    puzzle.broken ? `first contradiction at step ${puzzle.broken}` : null].filter((fact) => fact !== null);
  panel.replaceChildren(
    el("h3", {}, `Row ${puzzle.row}`),
    el("p", { className: "note" }, facts.join(" · ")),
    el("ul", { className: "pills" }, ...puzzle.kinds.map((kind) => el("li", {}, about.kinds[kind]))),
    el("div", { className: "boards" }, board(puzzle.question, "Question", { given }),
      board(puzzle.label, "Known answer", { given, shown: puzzle.shown }), answer),
    el("div", { className: "stepper" }, el("label", { for: "step" }, "ACT step"), slider, output),
    told, time, legendOf(about));

  const draw = () => {
    chart = drawTime(about, puzzle, Math.max(220, time.clientWidth), go);
    time.replaceChildren(chart);
    chart.point(current);
  };
  draw();
  go(steps);
  return { move: (by) => go(current + by), resize: draw };
}
