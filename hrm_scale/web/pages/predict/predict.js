"use strict";
// Predictions in one file: all puzzles of a card each, played step by step together.

const DATA = JSON.parse(byId("data").textContent);
const { drawing } = DATA;
const transport = new Steps({ first: 1, delay: () => 700, onShow: show });

const tokensOf = (grid) => Array.from(grid.cells, (character) => character.charCodeAt(0) - 48);
const stateOf = (grid) => ({ shown: tokensOf(grid), shape: [grid.h, grid.w] });
const haltOf = (puzzle) => puzzle.steps.findIndex((step) => step.halts) + 1;

class Card {
  constructor(puzzle) {
    this.puzzle = puzzle;
    this.seen = false;
    this.question = tokensOf(puzzle.question);
    this.fixed = []; // boards that are the same after every step, until they are painted
    this.board = new Board(drawing, `${puzzle.name}, answer`);
    this.state = el("p", { className: "state muted" });
    this.chart = new HaltChart((step) => transport.go(step));
    const figures = [el("figure", {}, this.board.element, drawing.crop && el("figcaption", { className: "muted" }, "answer after this step"))];
    if (drawing.crop) {
      figures.unshift(this.#fixed(puzzle.question, "input"));
      figures.push(...puzzle.attempts.map((one, at) => this.#fixed(one, `attempt ${at + 1}: ${one.votes} of ${puzzle.asked} votes`)));
      if (puzzle.known) figures.push(this.#fixed(puzzle.known, "known answer"));
    }
    const verdict = puzzle.solved === null ? "" : puzzle.solved ? " good" : " bad";
    this.element = el("article", { className: "card" }, el("h2", {}, puzzle.name), el("p", { className: `pill${verdict}` }, `in the end ${puzzle.verdict}`),
      puzzle.note && el("p", { className: "note" }, puzzle.note), el("div", { className: "boards" }, figures), this.state, this.chart.element);
  }

  #fixed(grid, caption) {
    const board = new Board(drawing, `${this.puzzle.name}, ${caption}`);
    this.fixed.push([board, grid]);
    const figure = el("figure", {}, board.element, el("figcaption", { className: "muted" }, grid.h ? `${caption}, ${grid.h}x${grid.w}` : `${caption}: no grid`));
    figure.style.setProperty("--columns", grid.w);
    return figure;
  }

  draw(at) {
    const { steps } = this.puzzle;
    for (const [board, grid] of this.fixed.splice(0)) board.paint(stateOf(grid));
    const [now, before] = [steps[at - 1], steps[at - 2]];
    const same = before && before.h === now.h && before.w === now.w;
    const changed = Array.from(now.cells, (token, cell) => Boolean(same) && before.cells[cell] !== token);
    const marks = Array.from(now.cells, (_, cell) => now.wrong.includes(cell));
    const count = changed.filter(Boolean).length;
    const words = [at === 1 ? "first answer" : `${plural(count, "cell")} changed`];
    if (now.wrong.length) words.push(`${now.wrong.length} wrong`);
    if (drawing.crop) words.push(now.h ? `${now.h}x${now.w}` : "no grid");
    words.push(`halt head ${percent(now.sure)}`);
    if (now.halts) words.push("would halt here");
    this.state.textContent = words.join(" · ");
    this.board.label = `${this.puzzle.name}, answer after step ${at}: ${words.join(", ")}`;
    this.board.paint({ ...stateOf(now), question: this.question, marks, changed });
    this.board.element.parentElement.style.setProperty("--columns", now.w);
    this.chart.draw(steps.map((step) => step.sure), DATA.steps, at, haltOf(this.puzzle));
  }
}

const cards = DATA.puzzles.map((puzzle) => new Card(puzzle));

function show(at) {
  for (const card of cards) if (card.seen) card.draw(at);
}

// The boards that can be seen are drawn: a page may hold hundreds.
const watcher = new IntersectionObserver((entries) => {
  for (const { target, isIntersecting } of entries) {
    const card = cards.find((one) => one.element === target);
    if (isIntersecting && !card.seen) card.draw(transport.at);
    card.seen = isIntersecting;
  }
}, { rootMargin: "600px" });

byId("about").textContent = DATA.about;
byId("legend").textContent = DATA.legend;
byId("cards").classList.toggle("wide", drawing.crop);
byId("cards").append(...cards.map((card) => card.element));
byId("transport").append(transport.element);
byId("theme").onclick = toggleTheme;
onKeys({
  ArrowLeft: () => transport.move(-1),
  ArrowRight: () => transport.move(1),
  " ": () => transport.toggle(),
  d: toggleTheme,
});
// Playing rests at the step at which the model would have halted on every puzzle.
const settled = Math.max(...DATA.puzzles.map((puzzle) => haltOf(puzzle) || DATA.steps));
transport.set({ total: DATA.steps, available: DATA.steps, halt: settled });
for (const card of cards) watcher.observe(card.element);
if (settled > 1 && !matchMedia("(prefers-reduced-motion: reduce)").matches) transport.play();
