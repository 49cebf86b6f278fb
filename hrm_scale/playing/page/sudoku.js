// Sudoku: clues are typed into the board, answers appear between them.
import { Board } from "./board.js";
import { el } from "./dom.js";

const EMPTY = 1; // the token; digit d is token d + 1

export class Sudoku {
  title = "Sudoku";
  format = "Row after row; a dot, 0 or _ is an empty cell. White space and lines between boxes do not count.";
  hint = "Click a cell and type, or paste a whole puzzle anywhere on this page.";
  legend = "Bold digits are clues, light blue marks what changed in this step, red what is wrong. The more amber, the less sure the model is.";

  constructor(about, edited) {
    this.side = about.side;
    this.keys = [
      [`1 … ${about.side}`, "write a digit"],
      ["⌫ 0 .", "empty the cell"],
    ];
    this.box = about.box;
    this.edited = edited;
    this.tokens = new Array(this.side * this.side).fill(EMPTY);
    this.answer = null;
    this.board = new Board("sudoku", "Sudoku", { onKey: (at, key) => this.#key(at, key) });
    this.board.resize(this.side, this.side);
    this.stage = [this.board.element];
    this.above = [];
    this.below = [this.#pad()];
  }

  #pad() {
    const button = (digit) => {
      const name = digit ? `Digit ${digit}` : "Empty the cell";
      return el("button", { className: "button", "aria-label": name, onclick: () => this.#write(this.board.at, digit) }, digit ? String(digit) : "⌫");
    };
    const digits = Array.from({ length: this.side }, (_, at) => button(at + 1));
    return el("div", { className: "pad", role: "group", "aria-label": "Digits" }, digits, button(0));
  }

  #key(at, key) {
    if (/^[1-9]$/.test(key) && Number(key) <= this.side) this.#write(at, Number(key));
    else if (["Backspace", "Delete", "0", ".", "_"].includes(key)) this.#write(at, 0);
    else return false;
    return true;
  }

  #write(at, digit) {
    this.tokens[at] = digit + EMPTY;
    this.answer = null;
    this.edited();
  }

  clear() {
    this.tokens.fill(EMPTY);
    this.answer = null;
    this.edited();
  }

  text() {
    return this.tokens.map((token) => (token > EMPTY ? token - EMPTY : ".")).join("");
  }

  written() {
    return this.text().match(new RegExp(`.{${this.side}}`, "g")).join("\n");
  }

  /** Take a puzzle from text. Throws an Error of one line. */
  load(text, answer = null) {
    const plain = (part) => part.replace(/[\s|+=-]/g, "").replace(/[0_]/g, ".");
    const count = this.tokens.length;
    // A line of a table has the puzzle in one of its fields.
    const found = text.split(/[,;\t]/).map(plain).find((part) => part.length === count) ?? plain(text);
    const strange = [...found].find((c) => c !== "." && !(c >= "1" && c <= String(this.side)));
    if (strange) throw new Error(`'${strange}' is no cell: the digits 1 to ${this.side}, and a dot for an empty cell`);
    if (found.length !== count) throw new Error(`That has ${found.length} cells, a puzzle of ${this.side} x ${this.side} has ${count}`);
    this.tokens = [...found].map((c) => (c === "." ? EMPTY : Number(c) + EMPTY));
    this.answer = answer;
    this.edited();
  }

  question() {
    const question = { puzzle: this.text() };
    if (this.answer) question.answer = this.answer;
    return question;
  }

  /** Cells whose clue stands again in its row, column or box. */
  #clashes() {
    const seen = new Map();
    this.tokens.forEach((token, at) => {
      if (token === EMPTY) return;
      for (const house of this.#houses(at)) {
        const key = `${house} ${token}`;
        seen.set(key, [...(seen.get(key) || []), at]);
      }
    });
    return new Set([...seen.values()].filter((places) => places.length > 1).flat());
  }

  #houses(at) {
    const row = Math.floor(at / this.side);
    const column = at % this.side;
    const box = `${Math.floor(row / this.box[0])} ${Math.floor(column / this.box[1])}`;
    return [`row ${row}`, `column ${column}`, `box ${box}`];
  }

  /** Draw the clues, and the answer of a step between them. */
  show(step, before, shaded) {
    const clashes = this.#clashes();
    const wrong = new Set(step ? step.wrong : []);
    const cells = this.tokens.map((clue, at) => {
      const token = step ? step.cells[at] : clue;
      const given = clue > EMPTY;
      const classes = [given ? "given" : "found"];
      const says = [];
      const text = token === EMPTY && !step ? "" : token > EMPTY && token <= this.side + EMPTY ? String(token - EMPTY) : "?";
      says.push(text ? `${given ? "clue" : "answer"} ${text}` : "empty");
      const mark = (name, words) => {
        classes.push(name);
        says.push(words);
      };
      if (clashes.has(at) && !step) mark("wrong", "contradicts another clue");
      if (wrong.has(at)) mark("wrong", "wrong");
      if (step && before && before.cells[at] !== token) mark("changed", "changed in this step");
      const [height, width] = this.box;
      if ((Math.floor(at / this.side) + 1) % height === 0) classes.push("last-row");
      if (((at % this.side) + 1) % width === 0) classes.push("last-column");
      const unsure = shaded && step ? (100 - step.sure[at]) / 100 : 0;
      if (shaded && step) says.push(`${step.sure[at]} percent sure`);
      return { text, classes: classes.join(" "), says: says.join(", "), unsure };
    });
    this.board.draw(cells);
  }

  focus() {
    this.board.focus();
  }
}
