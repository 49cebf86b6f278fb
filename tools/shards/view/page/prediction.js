"use strict";
// What the model answers: its steps, the differences to the label, when it halts, how sure it is.
(function (V) {
  /** Step number (from 1) that is shown; the last one when nothing was chosen. */
  V.stepShown = () => Math.min(V.state.step || V.about.model.steps, V.about.model.steps);

  /** The slider over all steps, for all pairs at once. */
  V.stepBar = function () {
    const steps = V.about.model.steps;
    const shown = V.el("output", {}, `${V.stepShown()} of ${steps}`);
    const range = V.el("input", {
      type: "range",
      min: "1",
      max: String(steps),
      value: String(V.stepShown()),
      id: "step",
      "aria-label": "Step of the model",
      oninput: () => V.setStep(Number(range.value)),
    });
    range.showStep = () => {
      range.value = String(V.stepShown());
      shown.textContent = `${V.stepShown()} of ${steps}`;
    };
    return V.el("div", { className: "steps" }, V.el("label", { for: "step" }, "Step"), range, shown);
  };

  V.setStep = function (step) {
    V.state.step = Math.max(1, Math.min(step, V.about.model.steps));
    V.byId("step")?.showStep();
    for (const slot of document.querySelectorAll(".prediction")) slot.showStep?.();
  };

  /** A place for the prediction of one pair, of its final size from the start. */
  V.predictionSlot = function (label, size) {
    const empty = { ...label, tokens: new Uint8Array(label.tokens.length).fill(V.about.drawn === "sudoku" ? 1 : 0) };
    const figure = V.board(empty, size, "Prediction");
    const verdict = V.el("div", { className: "verdict muted" }, "the model is working …");
    return V.el("div", { className: "prediction waiting" }, figure, verdict);
  };

  /** Fill a slot with the answer to its pair. */
  V.showPrediction = function (slot, answer, label, given, options) {
    const canvas = slot.querySelector("canvas");
    const verdict = slot.querySelector(".verdict");
    const chart = stepChart(answer);
    slot.answer = answer;
    slot.classList.remove("waiting");
    slot.showStep = () => {
      const number = V.stepShown();
      const step = answer.steps[number - 1];
      canvas.grid = V.mark(V.gridOf(step.board, options), label);
      canvas.grid.given = given;
      canvas.repaint();
      const inside = canvas.grid.wrong.reduce((sum, wrong) => sum + wrong, 0);
      const hidden = step.wrong > inside ? ` (${step.wrong - inside} outside the grid)` : "";
      const text = step.exact ? "exact" : `${step.wrong} of ${step.of} wrong${hidden}`;
      const pill = V.el("span", { className: step.exact ? "pill good" : "pill bad" }, text);
      const sure = V.el("span", {}, `${(100 * step.sure).toFixed(1)} % sure`);
      const halt = answer.halt ? `halts at step ${answer.halt}` : `does not halt in ${answer.steps.length} steps`;
      verdict.classList.remove("muted");
      verdict.replaceChildren(pill, sure, V.el("span", { className: "muted" }, halt), chart);
      [...chart.children].forEach((bar, at) => bar.setAttribute("aria-pressed", String(at + 1 === number)));
    };
    slot.showStep();
  };

  /** A bar for every step: its height is the certainty, its colour says whether it is exact. */
  function stepChart(answer) {
    const bars = answer.steps.map((step, at) => {
      const says = step.exact ? "exact" : `${step.wrong} wrong`;
      const title = `step ${at + 1}: ${says}, ${(100 * step.sure).toFixed(1)} % sure`;
      const bar = V.el("button", { title, "aria-label": title, onclick: () => V.setStep(at + 1) });
      const fill = V.el("i", { className: step.exact ? "good" : "bad" });
      fill.style.height = `${Math.max(4, 100 * step.sure)}%`;
      bar.append(fill);
      if (at + 1 === answer.halt) bar.classList.add("halt");
      return bar;
    });
    return V.el("div", { className: "chart", role: "group", "aria-label": "Certainty by step" }, bars);
  }

  /** Ask for the predictions of a place and fill its slots, unless another place is shown by then. */
  V.predictInto = async function (place, slots, isCurrent) {
    try {
      const answer = await V.provider.predict(place);
      if (isCurrent()) slots.forEach((fill, at) => fill(answer.rows[at]));
    } catch (error) {
      if (isCurrent()) V.fail(error);
    }
  };
})(window.Viewer);
