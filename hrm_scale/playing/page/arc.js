// ARC: a task is chosen or pasted, the test input drawn; the answer is a grid of its own.
import { readTask, writeGrid } from "./arc_text.js";
import { Board } from "./board.js";
import { choice, el } from "./dom.js";
import * as server from "./server.js";

const NAMES = ["black", "blue", "red", "green", "yellow", "grey", "magenta", "orange", "light blue", "maroon"];
const FIRST = 2; // the token of colour 0
const UNKNOWN = "The model does not know this task. It knows a task by its identifier, learned in training, and never sees demonstrations: it gets the blank identifier, so its answer is a guess.";

export class Arc {
  title = "ARC task";
  format = 'A task as ARC\'s JSON, {"train": […], "test": […]}, or one grid: rows of digits 0 to 9.';
  hint = "Choose a task, paste one as JSON, or draw a test input with the colours.";
  keys = [
    ["0 … 9", "paint the cell in a colour"],
    ["Space", "paint it in the chosen colour"],
  ];
  legend = "A blue frame marks what changed in this step, a red one what differs from the known answer. The larger the white dot, the less sure the model is.";

  constructor(about, edited, failed) {
    this.about = about;
    this.edited = edited;
    this.failed = failed;
    this.colour = 1;
    this.input = new Board("arc", "Test input", {
      onKey: (at, key) => this.#key(at, key),
      onDraw: (at) => this.#paint(at, this.colour),
    });
    this.output = new Board("arc", "Answer");
    const colours = NAMES.map((name, value) => [String(value), `${value} ${name}`, `swatch c${value}`]);
    this.palette = choice("Colour", "colour", colours, (value) => (this.colour = Number(value)));
    this.palette.choose("1");
    this.stage = [this.#figures()];
    this.above = [this.#chooser(), (this.shown = el("div", { className: "pairs", tabIndex: 0, role: "group", "aria-label": "Demonstrations" }))];
    this.below = [this.palette];
    this.#start({ demonstrations: [], tests: [{ input: blank(3, 3), output: null }] }, null);
  }

  #figures() {
    const size = (name) =>
      el("input", { type: "number", min: 1, max: this.about.side, "aria-label": name, inputMode: "numeric", onchange: () => this.#resize() });
    [this.height, this.width] = [size("Rows"), size("Columns")];
    const sides = el("span", { className: "row number" }, this.height, "×", this.width);
    this.answered = el("span", { className: "muted" });
    return el(
      "div",
      { className: "two" },
      el("figure", {}, el("figcaption", { className: "row" }, "Test input", sides), this.input.element),
      el("figure", {}, el("figcaption", { className: "row" }, "Answer", this.answered), this.output.element),
    );
  }

  #chooser() {
    const tasks = this.about.tasks;
    this.tasks = el("select", { "aria-label": "Task", disabled: !tasks.length, onchange: () => this.choose(this.tasks.value) });
    this.tasks.append(el("option", { value: "" }, tasks.length ? "choose a task …" : "no tasks: the data set is not there"));
    this.tasks.append(...tasks.map((name) => el("option", { value: name }, name)));
    this.tests = el("select", { "aria-label": "Test pair", hidden: true, onchange: () => this.#test(Number(this.tests.value)) });
    return el("div", { className: "row" }, this.tasks, this.tests);
  }

  /** Show a task of the data set, if it is still `wanted` when it is there. Was it shown? */
  async choose(name, wanted = () => true) {
    if (!name) {
      this.clear();
      return false;
    }
    try {
      const task = await server.task(name);
      if (!wanted()) return false;
      this.#start(task, task);
      return true;
    } catch (error) {
      this.failed(error);
      return false;
    }
  }

  #start(content, task) {
    this.task = task;
    this.pairs = content.tests;
    this.tasks.value = task ? task.name : "";
    this.shown.replaceChildren(...content.demonstrations.map((pair, at) => demonstration(pair, at + 1)));
    this.shown.hidden = !content.demonstrations.length;
    const count = content.tests.length;
    this.tests.replaceChildren(...content.tests.map((_, at) => el("option", { value: at }, `test ${at + 1} of ${count}`)));
    this.tests.hidden = count < 2;
    this.#test(0);
  }

  #test(number) {
    this.rows = this.pairs[number].input.map((row) => [...row]);
    this.answer = this.pairs[number].output;
    this.#changed();
  }

  #changed() {
    [this.height.value, this.width.value] = [this.rows.length, this.rows[0].length];
    this.edited();
  }

  #resize() {
    const side = (input) => Math.max(1, Math.min(this.about.side, Math.round(Number(input.value)) || 1));
    const old = this.rows;
    this.rows = blank(side(this.height), side(this.width)).map((row, r) => row.map((_, c) => old[r]?.[c] ?? 0));
    this.answer = null;
    this.#changed();
  }

  #key(at, key) {
    if (/^[0-9]$/.test(key)) this.#paint(at, Number(key));
    else if (key === " ") this.#paint(at, this.colour);
    else return false;
    return true;
  }

  #paint(at, colour) {
    const [row, column] = [Math.floor(at / this.input.columns), at % this.input.columns];
    if (this.rows[row][column] === colour) return;
    this.rows[row][column] = colour;
    this.answer = null;
    this.edited();
  }

  clear() {
    this.#start({ demonstrations: [], tests: [{ input: blank(3, 3), output: null }] }, null);
  }

  note() {
    const task = this.task;
    if (!task || !task.known) return task ? "The model was trained on other data: it does not know this task and gets the blank identifier." : UNKNOWN;
    return task.trained ? "The model was trained on all pairs of this task, the test pair too." : "";
  }

  written() {
    return writeGrid(this.rows, "\n");
  }

  load(text) {
    this.#start(readTask(text), null);
  }

  question() {
    const question = { puzzle: writeGrid(this.rows, "/") };
    if (this.answer) question.answer = writeGrid(this.answer, "/");
    if (this.task) question.task = this.task.name;
    return question;
  }

  show(step, before, shaded) {
    this.input.resize(this.rows.length, this.rows[0].length);
    this.input.draw(this.rows.flat().map((colour) => ({ text: "", classes: `c${colour}`, says: NAMES[colour] })));
    this.output.element.parentElement.classList.toggle("waiting", !step);
    if (!step) {
      this.answered.textContent = "";
      this.output.resize(this.rows.length, this.rows[0].length);
      this.output.draw(this.rows.flat().map(() => ({ text: "", classes: "none" })));
      return;
    }
    this.answered.textContent = step.cells.length ? `${step.height} × ${step.width}` : "no grid";
    this.output.resize(step.height, step.width);
    const wrong = new Set(step.wrong);
    const same = before && before.height === step.height && before.width === step.width;
    const cells = step.cells.map((token, at) => {
      const classes = [`c${token - FIRST}`];
      if (before && !(same && before.cells[at] === token)) classes.push("changed");
      if (wrong.has(at)) classes.push("wrong");
      return { text: "", classes: classes.join(" "), unsure: shaded ? (100 - step.sure[at]) / 100 : 0 };
    });
    this.output.draw(cells);
  }

  focus() {
    this.input.focus();
  }
}

const blank = (rows, columns) => Array.from({ length: rows }, () => new Array(columns).fill(0));

/** A demonstration pair as two small pictures. */
function demonstration(pair, number) {
  const boards = [pair.input, pair.output].map((rows, side) => {
    const board = new Board("arc", `Demonstration ${number}, ${side ? "output" : "input"}`);
    board.resize(rows.length, rows[0].length);
    board.draw(rows.flat().map((colour) => ({ text: "", classes: `c${colour}` })));
    return board.element;
  });
  return el("div", { className: "pair" }, boards[0], el("span", { "aria-hidden": "true" }, "→"), boards[1]);
}
