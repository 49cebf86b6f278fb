"use strict";
const DATA = JSON.parse(document.getElementById("data").textContent);
const NONE = new Set();
const byId = (id) => document.getElementById(id);
const slider = byId("slider");
let step = 1;
let timer = null;

function make(tag, parent, text, className) {
  const element = document.createElement(tag);
  if (text !== undefined) element.textContent = text;
  if (className) element.className = className;
  parent.append(element);
  return element;
}

/** Cells that are others than after the step before; none where the shape is another one. */
function changes(puzzle, number) {
  const [now, before] = [puzzle.steps[number - 1], puzzle.steps[number - 2]];
  if (!before || before.h !== now.h || before.w !== now.w) return NONE;
  const changed = new Set();
  for (let at = 0; at < now.cells.length; at += 1) if (now.cells[at] !== before.cells[at]) changed.add(at);
  return changed;
}

class Card {
  constructor(puzzle) {
    this.puzzle = puzzle;
    this.seen = false;
    const card = (this.element = make("article", byId("cards")));
    make("h2", card, puzzle.name);
    const kind = puzzle.solved === null ? "" : puzzle.solved ? " solved" : " failed";
    make("p", card, `in the end ${puzzle.verdict}`, `verdict${kind}`);
    if (puzzle.note) make("p", card, puzzle.note, "note");
    const boards = make("div", card, undefined, "boards");
    this.fixed = [];
    if (DATA.kind === "arc") this.fix(boards, puzzle.question, "input");
    const figure = make("figure", boards);
    this.canvas = make("canvas", figure);
    this.canvas.setAttribute("role", "img");
    if (DATA.kind === "arc") make("figcaption", figure, "answer after this step");
    for (const [number, attempt] of puzzle.attempts.entries()) {
      this.fix(boards, attempt, `attempt ${number + 1}: ${attempt.votes} of ${puzzle.asked} votes`);
    }
    if (DATA.kind === "arc" && puzzle.known) this.fix(boards, puzzle.known, "known answer");
    this.state = make("p", card, "", "state");
    this.bars = make("div", card, undefined, "bars");
    for (const [number, one] of puzzle.steps.entries()) {
      const bar = make("button", this.bars);
      bar.type = "button";
      bar.title = `step ${number + 1}: halt head ${(100 * one.sure).toFixed(1)} %`;
      bar.setAttribute("aria-label", bar.title);
      bar.onclick = () => {
        pause();
        show(number + 1);
      };
      make("i", bar).style.height = `${100 * one.sure}%`;
    }
  }

  fix(parent, grid, caption) {
    const figure = make("figure", parent);
    const canvas = make("canvas", figure);
    canvas.setAttribute("role", "img");
    canvas.setAttribute("aria-label", `${this.puzzle.name}, ${caption}`);
    make("figcaption", figure, grid.h ? `${caption}, ${grid.h}x${grid.w}` : `${caption}: no grid`);
    this.fixed.push([canvas, grid]);
  }

  get room() {
    return this.element.clientWidth - 32;
  }

  drawFixed() {
    for (const [canvas, grid] of this.fixed) drawGrid(canvas, grid, { ...this.look(), wrong: NONE, changed: NONE }, this.room);
  }

  look() {
    return { kind: DATA.kind, symbols: DATA.symbols, boxes: DATA.boxes, question: this.puzzle.question };
  }

  draw() {
    const now = this.puzzle.steps[step - 1];
    const [wrong, changed] = [new Set(now.wrong), changes(this.puzzle, step)];
    drawGrid(this.canvas, now, { ...this.look(), wrong, changed }, this.room);
    const cells = (number) => `${number} cell${number === 1 ? "" : "s"}`;
    const words = [step === 1 ? "first answer" : `${cells(changed.size)} changed`];
    if (wrong.size) words.push(`${wrong.size} wrong`);
    if (DATA.kind === "arc") words.push(now.h ? `${now.h}x${now.w}` : "no grid");
    words.push(`halt head ${(100 * now.sure).toFixed(1)} %`);
    if (now.halts) words.push("would halt here");
    this.state.textContent = words.join(" · ");
    this.canvas.setAttribute("aria-label", `${this.puzzle.name}, answer after step ${step}: ${words.join(", ")}`);
    for (const [number, bar] of [...this.bars.children].entries()) {
      bar.className = `${number + 1 === step ? "now" : ""} ${this.puzzle.steps[number].halts ? "halts" : ""}`;
    }
  }
}

function show(number) {
  step = Math.max(1, Math.min(DATA.steps, number));
  slider.value = step;
  byId("where").textContent = `${step} of ${DATA.steps}`;
  for (const card of cards) if (card.seen) card.draw();
}

function redraw() {
  for (const card of cards) {
    if (!card.seen) continue;
    card.drawFixed();
    card.draw();
  }
}

function pause() {
  clearInterval(timer);
  timer = null;
  byId("play").textContent = "▶";
  byId("play").setAttribute("aria-label", "Play");
}

/** The step at which the model would have halted on every puzzle: playing stops there, and goes on
    to the last step when begun again. */
const SETTLED = Math.max(...DATA.puzzles.map((puzzle) => puzzle.steps.findIndex((one) => one.halts) + 1 || DATA.steps));

function advance() {
  show(step + 1);
  if (step === SETTLED || step === DATA.steps) pause();
}

function play() {
  if (step >= DATA.steps) show(1);
  byId("play").textContent = "❚❚";
  byId("play").setAttribute("aria-label", "Pause");
  timer = setInterval(advance, 700);
}

function setTheme(name) {
  document.documentElement.dataset.theme = name;
  redraw();
}

const cards = DATA.puzzles.map((puzzle) => new Card(puzzle));
if (DATA.kind === "arc") byId("cards").className = "wide";
byId("about").textContent = DATA.about;
byId("legend").textContent = DATA.legend;
slider.max = DATA.steps;
slider.oninput = () => {
  pause();
  show(Number(slider.value));
};
byId("play").onclick = () => (timer ? pause() : play());
byId("back").onclick = () => {
  pause();
  show(step - 1);
};
byId("next").onclick = () => {
  pause();
  show(step + 1);
};
byId("theme").onclick = () => setTheme(document.documentElement.dataset.theme === "dark" ? "light" : "dark");
document.onkeydown = (event) => {
  if (event.target.tagName === "INPUT" || event.ctrlKey || event.metaKey || event.altKey) return;
  const act = { ArrowLeft: "back", ArrowRight: "next" }[event.key] || (event.key === " " && event.target.tagName !== "BUTTON" && "play");
  if (!act) return;
  event.preventDefault();
  byId(act).click();
};
// Boards are drawn when they come into sight: a page may hold hundreds.
const watcher = new IntersectionObserver((entries) => {
  for (const { target, isIntersecting } of entries) {
    const card = cards.find((one) => one.element === target);
    const fresh = isIntersecting && !card.seen;
    card.seen = isIntersecting;
    if (!fresh) continue;
    card.drawFixed();
    card.draw();
  }
}, { rootMargin: "600px" });
setTheme(matchMedia("(prefers-color-scheme: dark)").matches ? "dark" : "light");
show(1);
for (const card of cards) watcher.observe(card.element);
let width = innerWidth;
window.onresize = () => {
  if (innerWidth !== width) redraw();
  width = innerWidth;
};
if (SETTLED > 1 && !matchMedia("(prefers-reduced-motion: reduce)").matches) play();
