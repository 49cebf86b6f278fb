"use strict";
// What the model answers: its steps, the differences to the label, when it halts, how sure it is.

const sure = (step) => `${percent(step.sure)} sure`;

/** Step number (from 1) that is shown; the last one when none was chosen. */
const stepShown = () => Math.min(view.step || about.model.steps, about.model.steps);

/** The slider over all steps, for all pairs at once. */
function stepBar() {
  const shown = el("output", { for: "step" });
  const range = el("input", { id: "step", type: "range", min: 1, max: about.model.steps, "aria-label": "Step of the model", oninput: () => setStep(Number(range.value)) });
  range.showStep = () => {
    range.value = stepShown();
    shown.textContent = `${stepShown()} of ${about.model.steps}`;
  };
  range.showStep();
  return el("div", { className: "steps muted" }, el("label", { for: "step" }, "Step"), range, shown);
}

function setStep(step) {
  view.step = Math.max(1, Math.min(step, about.model.steps));
  byId("step")?.showStep();
  for (const slot of document.querySelectorAll(".prediction")) slot.showStep?.();
}

/** A place for the answer to one pair, of its final size from the start. input, label: states of their boards. */
function predictionSlot(input, label) {
  const figure = boardFigure("Prediction", { ...label, shown: label.shown.map(() => about.drawing.blank ?? 0) });
  const verdict = el("div", { className: "verdict muted" }, "the model is working …");
  const slot = el("div", { className: "prediction waiting" }, figure, verdict);
  slot.fill = (answer) => {
    const chart = stepChart(answer);
    const { board } = figure.querySelector(".board");
    slot.classList.remove("waiting");
    verdict.classList.remove("muted");
    slot.showStep = () => {
      const step = answer.steps[stepShown() - 1];
      const state = stateOf(step.board);
      const marks = Array.from(state.shown, (token, at) => label.shown[at] !== about.ignore && token !== label.shown[at]);
      board.paint({ ...state, question: input.shown, label: label.shown, marks });
      const hidden = step.wrong - board.cells.filter((cell) => cell.wrong).length;
      const text = step.exact ? "exact" : `${step.wrong} of ${step.of} wrong${hidden > 0 ? ` (${hidden} outside the grid)` : ""}`;
      const halt = answer.halt ? `halts at step ${answer.halt}` : `does not halt in ${answer.steps.length} steps`;
      verdict.replaceChildren(el("span", { className: `pill ${step.exact ? "good" : "bad"}` }, text), el("span", {}, sure(step)), el("span", { className: "muted" }, halt), chart);
      [...chart.children].forEach((bar, at) => bar.setAttribute("aria-pressed", at + 1 === stepShown()));
    };
    slot.showStep();
  };
  return slot;
}

/** A bar for every step: its height is the certainty, its colour says whether it is exact. */
function stepChart(answer) {
  const bars = answer.steps.map((step, at) => {
    const title = `step ${at + 1}: ${step.exact ? "exact" : `${step.wrong} wrong`}, ${sure(step)}`;
    const fill = el("i", { className: step.exact ? "good" : "" });
    fill.style.height = `${Math.max(4, 100 * step.sure)}%`;
    return el("button", { className: at + 1 === answer.halt ? "halt" : "", title, "aria-label": title, onclick: () => setStep(at + 1) }, fill);
  });
  return el("div", { className: "chart", role: "group", "aria-label": "Certainty by step" }, bars);
}

/** Ask for the predictions of a place and fill its slots, unless another place is shown by then. */
async function predictInto(place, slots, isCurrent) {
  try {
    const { rows } = await provider.ask("predict", place);
    if (isCurrent()) slots.forEach((slot, at) => slot.fill(rows[at]));
  } catch (error) {
    if (isCurrent()) fail(error);
  }
}
