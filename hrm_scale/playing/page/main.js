// What ties the page together: the puzzle, the model's steps, buttons and keys.
import { Arc } from "./arc.js";
import { announce, byId, el, say } from "./dom.js";
import { Maze } from "./maze.js";
import { Replay } from "./replay.js";
import * as server from "./server.js";
import { Sudoku } from "./sudoku.js";
import { toggleTheme } from "./theme.js";

const GAMES = { sudoku: Sudoku, maze: Maze, arc: Arc };
const KEYS = [
  ["← ↑ → ↓", "move on the board"],
  ["Enter", "solve"],
  ["[ ]", "step back and forward"],
  ["p", "play or pause"],
  ["e", "an example"],
  ["a", "another path"],
  ["u", "shade unsure cells"],
  ["t", "the puzzle as text"],
  ["d", "light or dark"],
  ["?", "this help"],
];
let about, game, replay, running;
let path = 0;
let edits = 0; // how often the puzzle was changed
let loading = Promise.resolve(); // an example that is on its way

/** The puzzle was changed: what was answered is no answer to it. */
function edited() {
  stop();
  edits += 1;
  path = 0;
  say("error");
  announce("");
  replay.reset();
  game.show(null, null, false);
  say("note", game.note?.());
}

function fail(error) {
  announce("");
  say("error", error.message);
}

function stop() {
  running?.abort();
  running = null;
}

/** Ask the model. `reveal`: on a small screen bring its verdict into view. */
async function solve(otherPath, reveal = true) {
  await loading;
  stop();
  say("error");
  announce("");
  path = otherPath ? path + 1 : 0;
  const mine = (running = new AbortController());
  const steps = Math.max(1, Math.min(about.most, Math.round(Number(byId("steps").value)) || about.trained));
  byId("steps").value = steps;
  replay.begin(steps, reveal);
  byId("other").textContent = path ? `Another path (now ${path})` : "Another path";
  try {
    await server.solve({ ...game.question(), steps, path }, mine.signal, (line) => {
      if (running !== mine) return;
      if (line.step) replay.add(line);
      else if (line.end === "replaced") fail(new Error("Ended: another page asks this model now."));
    });
    if (running === mine) replay.end();
  } catch (error) {
    if (running !== mine) return;
    if (replay.steps.length) replay.end();
    else replay.reset();
    game.show(null, null, false);
    fail(error);
  }
}

/** Take an example, unless the puzzle is changed while it is on its way. Was it taken? */
async function example() {
  const before = edits;
  const wanted = () => edits === before;
  try {
    if (about.tasks.length) return await game.choose(about.tasks[Math.floor(Math.random() * about.tasks.length)], wanted);
    const found = await server.example(Math.floor(Math.random() * about.examples));
    if (!wanted()) return false;
    game.load(found.puzzle, found.answer);
    return true;
  } catch (error) {
    fail(error);
    return false;
  }
}

/** Open on an example and play it once; where no motion is wanted, only show it. */
async function open() {
  const taken = !byId("example").disabled && (await (loading = example()));
  if (document.activeElement === document.body) game.focus();
  if (taken && !matchMedia("(prefers-reduced-motion: reduce)").matches) solve(false, false);
}

function read(text) {
  game.load(text);
  say("unreadable");
  byId("writing").close();
}

function shade() {
  const box = byId("unsure");
  box.checked = !box.checked;
  replay.go(replay.at);
}

function openText() {
  byId("written").value = game.written();
  say("unreadable");
  byId("writing").showModal();
  byId("written").select();
}

const SHORTCUTS = {
  Enter: () => solve(false),
  "[": () => replay.move(-1),
  "]": () => replay.move(1),
  p: () => replay.toggle(),
  e: () => byId("example").click(),
  a: () => solve(true),
  u: shade,
  t: openText,
  d: toggleTheme,
  "?": () => byId("keys").showModal(),
};

function key(event) {
  if (event.ctrlKey || event.metaKey || event.altKey || !SHORTCUTS[event.key]) return;
  const target = event.target.closest("button, input, select, textarea, dialog");
  const typing = target && !["checkbox", "radio", "range"].includes(target.type);
  if (typing && (target.tagName !== "BUTTON" || event.key === "Enter")) return;
  event.preventDefault();
  SHORTCUTS[event.key]();
}

function paste(event) {
  if (event.target.closest?.("input, textarea")) return;
  event.preventDefault();
  try {
    game.load(event.clipboardData.getData("text"));
  } catch (error) {
    fail(error);
  }
}

const short = (count) => (count >= 1e6 ? `${(count / 1e6).toFixed(1)} M` : count >= 1e3 ? `${Math.round(count / 1e3)} k` : String(count));

function describe() {
  const board = about.kind === "arc" ? "ARC" : `${about.side} × ${about.side} ${game.title}`;
  const table = about.table ? ` + ${short(about.table)} in the puzzle table` : "";
  byId("run").textContent = about.run;
  byId("facts").textContent = `${board} · ${about.arch} · ${short(about.parameters)} parameters${table} · step ${about.step.toLocaleString("en-US")}`;
  byId("facts-more").textContent = `Trained with ${about.trained} ACT steps; this page goes up to ${about.most}. ${about.averaged ? "Averaged" : "Raw"} weights, computed on the ${about.device}.`;
  document.title = `Play · ${about.run}`;
  byId("puzzle-title").textContent = game.title;
  byId("hint").textContent = game.hint;
  byId("legend").textContent = game.legend;
  byId("format").textContent = game.format;
  const rows = [...game.keys, ...KEYS].map(([keys, what]) => [el("dt", {}, keys.split(" ").map((one) => el("kbd", {}, one))), el("dd", {}, what)]);
  byId("keylist").replaceChildren(...rows.flat());
}

async function start() {
  try {
    about = await server.about();
  } catch (error) {
    fail(error);
    return;
  }
  replay = new Replay((step, before) => game.show(step, before, byId("unsure").checked));
  game = { show() {} };
  game = new GAMES[about.kind](about, () => game.title && edited(), fail);
  document.body.dataset.kind = about.kind;
  for (const part of ["above", "stage", "below"]) byId(part).replaceChildren(...game[part]);
  describe();
  byId("steps").max = about.most;
  byId("steps").value = about.trained;
  byId("example").disabled = !(about.examples || about.tasks.length);
  if (byId("example").disabled) byId("example").title = "The data set of the run is not there: start with data_path=DIR";
  const clicks = { example: () => (loading = example()), solve: () => solve(false), other: () => solve(true), text: openText, theme: toggleTheme, help: SHORTCUTS["?"] };
  for (const [id, does] of Object.entries(clicks)) byId(id).onclick = does;
  byId("clear").onclick = () => {
    game.clear();
    game.focus();
  };
  byId("unsure").onchange = () => replay.go(replay.at);
  byId("load").onclick = () => {
    try {
      read(byId("written").value);
    } catch (error) {
      say("unreadable", error.message);
    }
  };
  document.addEventListener("keydown", key);
  document.addEventListener("paste", paste);
  edited();
  open();
}

start();
