// Mazes: walls are drawn, start and goal placed; the answer is a path.
import { Board } from "./board.js";
import { choice } from "./dom.js";

const [WALL, FREE, START, GOAL, PATH] = [1, 2, 3, 4, 5];
const NAMES = { [WALL]: "wall", [FREE]: "free", [START]: "start", [GOAL]: "goal", [PATH]: "path" };
const SYMBOLS = " # SGo";
const TOOLS = [
  ["wall", "Wall"],
  ["free", "Free"],
  ["start", "Start"],
  ["goal", "Goal"],
];

export class Maze {
  title = "Maze";
  format = "A line for every row: # is a wall, a blank or a dot a free cell, S the start, G the goal.";
  hint = "Draw walls by dragging, place start S and goal G, or paste a maze as text.";
  keys = [
    ["w Space", "wall or free"],
    ["s", "place the start"],
    ["g", "place the goal"],
  ];
  legend = "The line is the path of this step, light blue marks what changed, red what is wrong. The more amber, the less sure the model is.";

  constructor(about, edited) {
    this.side = about.side;
    this.edited = edited;
    this.answer = null;
    this.tool = "wall";
    this.board = new Board("maze", "Maze", {
      onKey: (at, key) => this.#key(at, key),
      onDraw: (at, first) => this.#draw(at, first),
    });
    this.board.resize(this.side, this.side);
    this.stage = [this.board.element];
    this.tools = choice("Draw", "tool", TOOLS, (tool) => (this.tool = tool));
    this.above = [this.tools];
    this.below = [];
    this.tokens = this.#open();
  }

  #open() {
    const tokens = new Array(this.side * this.side).fill(FREE);
    tokens[0] = START;
    tokens[tokens.length - 1] = GOAL;
    return tokens;
  }

  #key(at, key) {
    if (key === "w" || key === " ") this.#set(at, this.tokens[at] === WALL ? FREE : WALL);
    else if (key === "s") this.#set(at, START);
    else if (key === "g") this.#set(at, GOAL);
    else return false;
    return true;
  }

  /** With the pen for walls a stroke that begins on a wall takes walls away. */
  #draw(at, first) {
    if (first) {
      const pen = { wall: this.tokens[at] === WALL ? FREE : WALL, free: FREE, start: START, goal: GOAL };
      this.pen = pen[this.tool];
    }
    this.#set(at, this.pen);
  }

  #set(at, token) {
    const kept = [START, GOAL].includes(this.tokens[at]);
    if (this.tokens[at] === token || (kept && token !== START && token !== GOAL)) return;
    if (token === START || token === GOAL) {
      // There is one of each: it moves, and where both would meet they change places.
      const from = this.tokens.indexOf(token);
      if (from >= 0) this.tokens[from] = kept ? this.tokens[at] : FREE;
    }
    this.tokens[at] = token;
    this.answer = null;
    this.edited();
  }

  clear() {
    this.tokens = this.#open();
    this.answer = null;
    this.edited();
  }

  text() {
    return this.tokens.map((token) => SYMBOLS[token]).join("");
  }

  written() {
    const lines = [];
    for (let at = 0; at < this.tokens.length; at += this.side) {
      lines.push(this.text().slice(at, at + this.side).replaceAll(" ", "."));
    }
    return lines.join("\n");
  }

  /** Take a maze from text. Throws an Error of one line. */
  load(text, answer = null) {
    const cells = [...text.replace(/[\r\n]/g, "").replace(/[._]/g, " ")];
    const strange = cells.find((c) => !"# SG".includes(c));
    if (strange) throw new Error(`'${strange}' is no cell of a maze: # . S G`);
    const count = this.side * this.side;
    if (cells.length !== count) throw new Error(`That has ${cells.length} cells, a maze of ${this.side} x ${this.side} has ${count}`);
    for (const one of "SG") {
      const found = cells.filter((c) => c === one).length;
      if (found !== 1) throw new Error(`A maze has one ${one}, that has ${found}`);
    }
    this.tokens = cells.map((c) => SYMBOLS.indexOf(c, 1));
    this.answer = answer;
    this.edited();
  }

  question() {
    const question = { puzzle: this.text() };
    if (this.answer) question.answer = this.answer;
    return question;
  }

  show(step, before, shaded) {
    const wrong = new Set(step ? step.wrong : []);
    const drawnPath = (at) => step && step.cells[at] === PATH;
    const joined = (at, other) => {
      const end = (cell) => drawnPath(cell) || this.tokens[cell] === START || this.tokens[cell] === GOAL;
      return end(at) && end(other) && (drawnPath(at) || drawnPath(other));
    };
    const cells = this.tokens.map((token, at) => {
      const classes = [NAMES[token]];
      const says = [NAMES[token]];
      const mark = (name, words) => {
        classes.push(name);
        says.push(words);
      };
      if (drawnPath(at)) mark("path", "path");
      if ((at + 1) % this.side && joined(at, at + 1)) classes.push("right");
      if (at + this.side < this.tokens.length && joined(at, at + this.side)) classes.push("down");
      if (wrong.has(at)) mark("wrong", "wrong");
      if (step && before && before.cells[at] !== step.cells[at]) mark("changed", "changed in this step");
      const unsure = shaded && step ? (100 - step.sure[at]) / 100 : 0;
      if (shaded && step) says.push(`${step.sure[at]} percent sure`);
      const text = token === START ? "S" : token === GOAL ? "G" : "";
      return { text, classes: classes.join(" "), says: says.join(", "), unsure };
    });
    this.board.draw(cells);
  }

  focus() {
    this.board.focus();
  }
}
