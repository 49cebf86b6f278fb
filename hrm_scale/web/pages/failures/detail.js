"use strict";
// One failing puzzle: its boards, the slider over the ACT steps, the chart over them.

/** The part of the board with cells that matter: of a grid in a frame no padding, but the marks of its end. */
function partOf({ drawing }, puzzle) {
  const [rows, columns] = [drawing.height, drawing.width];
  if (!drawing.crop) return [0, 0, rows, columns];
  let [top, left, bottom, right] = [rows, columns, 0, 0];
  puzzle.label.forEach((_, at) => {
    if (!puzzle.labelled[at] && !drawing.tokens[puzzle.question[at]]?.fill) return;
    const [row, column] = [Math.floor(at / columns), at % columns];
    [top, left, bottom, right] = [Math.min(top, row), Math.min(left, column), Math.max(bottom, row + 1), Math.max(right, column + 1)];
  });
  return [top, left, bottom - top, right - left];
}

function legendOf(drawing) {
  const token = drawing.tokens.length - 1;
  const cell = (state) => {
    const board = new Board(drawing, "");
    board.paint({ shown: [token], shape: [1, 1], ...state });
    return board.element;
  };
  const mark = (name, shape, attributes) => svg("svg", { viewBox: "0 0 20 20", "aria-hidden": "true" }, svg(shape, { class: name, ...attributes }));
  const key = (picture, text) => el("span", {}, picture, text);
  return el("div", { className: "legend muted" }, key(cell({ marks: [1] }), "wrong cell"), key(cell({ changed: [1] }), "changed at this step"),
    key(mark("calm", "rect", { y: 5, width: 20, height: 10 }), "right in the strip; other colours are wrong values"),
    key(mark("seen", "circle", { cx: 10, cy: 10, r: 4 }), "return"));
}

/** Fills `panel` with a puzzle; returns what moves it to an ACT step. */
function showPuzzle(about, puzzle, panel) {
  const { drawing } = about;
  const { question, label, labelled } = puzzle;
  const steps = puzzle.steps.length;
  const part = partOf(about, puzzle);
  // A cell without a label is not looked at: it stays as the question has it, outside of a grid empty.
  const seen = (tokens) => tokens.map((token, at) => (labelled[at] ? token : drawing.crop ? 0 : question[at]));
  const figure = (name, shown) => {
    const board = new Board(drawing, name);
    board.paint({ shown, question, part });
    return el("figure", {}, el("figcaption", {}, name), board.element);
  };
  const slider = el("input", { type: "range", min: 1, max: steps, id: "step" });
  const output = el("output", { for: "step" });
  const told = el("p", { className: "told muted", "aria-live": "polite" });
  const answer = figure("Model's answer", seen(label));
  const { board } = answer.lastChild;
  const time = el("div", { className: "time" });
  let chart = null;
  let current = steps;

  const go = (wanted) => {
    current = Math.max(1, Math.min(steps, wanted));
    const tokens = puzzle.steps[current - 1];
    const before = current > 1 ? puzzle.steps[current - 2] : tokens;
    const flag = (test) => tokens.map((token, at) => Number(labelled[at] && test(token, at)));
    const marks = flag((token, at) => token !== label[at]);
    const changed = flag((token, at) => token !== before[at]);
    const total = (flags) => flags.reduce((sum, one) => sum + one, 0);
    const words = `${total(marks)} wrong, ${total(changed)} changed, halt head ${percent(sure(puzzle.halt[current - 1]))} sure`;
    slider.value = current;
    slider.setAttribute("aria-valuetext", `ACT step ${current} of ${steps}`);
    output.value = `step ${current} of ${steps}`;
    told.textContent = `After this step: ${words}${puzzle.broken === current ? "; first contradiction" : ""}.`;
    board.label = `Model's answer after step ${current}: ${words}`;
    board.paint({ shown: seen(tokens), question, part, marks, changed });
    chart?.point(current);
  };
  slider.addEventListener("input", () => go(Number(slider.value)));

  const facts = [puzzle.rating === null ? null : `${about.rating} ${puzzle.rating}`, puzzle.source, `${puzzle.wrong} wrong`,
    plural(puzzle.returns, "return"), `${plural(puzzle.moving, "cell")} changed in the last quarter of the steps`,
    puzzle.broken ? `first contradiction at step ${puzzle.broken}` : null].filter((fact) => fact !== null);
  panel.replaceChildren(
    el("h3", {}, `Row ${puzzle.row}`),
    el("p", { className: "muted" }, facts.join(" · ")),
    el("ul", { className: "row" }, puzzle.kinds.map((kind) => el("li", { className: "pill bad" }, about.kinds[kind]))),
    el("div", { className: "boards" }, figure("Question", question), figure("Known answer", seen(label)), answer),
    el("div", { className: "stepper" }, el("label", { for: "step" }, "ACT step"), slider, output),
    told, time, legendOf(drawing));

  const draw = () => {
    chart = drawTime(about, puzzle, Math.max(220, time.clientWidth), go);
    time.replaceChildren(chart);
    chart.point(current);
  };
  draw();
  go(steps);
  return { move: (by) => go(current + by), resize: draw };
}
