"use strict";
// Puzzles that belong to tasks: choosing one, its demonstrations, its test pairs.

const UNKNOWN_TASK = "The model does not know this task. It knows a task by its identifier, learned in training, and never sees demonstrations: it gets the blank identifier, so its answer is a guess.";

class Tasks {
  /** names: tasks of the data set. onChoose(name), "" for none; onTest({input, output}): a test pair is chosen. */
  constructor(drawing, names, onChoose, onTest) {
    this.drawing = drawing;
    const first = el("option", { value: "" }, names.length ? "choose a task …" : "no tasks: the data set is not there");
    this.names = el("select", { "aria-label": "Task", disabled: !names.length, onchange: () => onChoose(this.names.value) }, first, names.map((name) => el("option", { value: name }, name)));
    this.tests = el("select", { "aria-label": "Test pair", hidden: true, onchange: () => onTest(this.content.tests[this.tests.value]) });
    this.shown = el("div", { className: "demonstrations", tabIndex: 0, role: "group", "aria-label": "Demonstrations", hidden: true });
    this.elements = [el("div", { className: "row" }, this.names, this.tests), this.shown];
  }

  /** content: {name, known, trained, demonstrations, tests}, without a name for a task that was typed; null: none. */
  show(content) {
    this.content = content;
    const { tests = [], demonstrations = [] } = content || {};
    this.names.value = content?.name || "";
    this.shown.replaceChildren(...demonstrations.map((pair, at) => this.#pair(pair, at + 1)));
    this.shown.hidden = !demonstrations.length;
    this.tests.replaceChildren(...tests.map((_, at) => el("option", { value: at }, `test ${at + 1} of ${tests.length}`)));
    this.tests.hidden = tests.length < 2;
  }

  note() {
    const content = this.content;
    if (!content?.name) return UNKNOWN_TASK;
    if (!content.known) return "The model was trained on other data: it does not know this task and gets the blank identifier.";
    return content.trained ? "The model was trained on all pairs of this task, the test pair too." : "";
  }

  #pair(pair, number) {
    const boards = ["input", "output"].map((side) => {
      const board = new Board(this.drawing, `Demonstration ${number}, ${side}`);
      board.paint({ shown: pair[side].tokens, shape: pair[side].shape });
      return board.element;
    });
    return el("div", { className: "pair" }, boards[0], el("span", { "aria-hidden": "true" }, "→"), boards[1]);
  }
}
