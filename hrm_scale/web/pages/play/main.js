"use strict";
// The play page: controls, keys and texts around the question and the answer.

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
const SPEEDS = [1, 2, 4, 8, 16];

function shade() {
  const box = byId("unsure");
  box.checked = !box.checked;
  show(transport.at);
}

function openText() {
  byId("written").value = editor.text();
  showLine("unreadable");
  byId("writing").showModal();
  byId("written").select();
}

async function loadText() {
  try {
    await read(byId("written").value);
    byId("writing").close();
  } catch (error) {
    showLine("unreadable", error.message);
  }
}

function paste(event) {
  if (event.target.closest?.("input, textarea")) return;
  event.preventDefault();
  loading = read(event.clipboardData.getData("text")).catch(fail);
}

const short = (count) => (count >= 1e6 ? `${(count / 1e6).toFixed(1)} M` : count >= 1e3 ? `${Math.round(count / 1e3)} k` : String(count));

function describe() {
  const title = about.title[0].toUpperCase() + about.title.slice(1);
  const table = about.table ? ` + ${short(about.table)} in the puzzle table` : "";
  byId("run").textContent = about.run;
  byId("facts").textContent = `${title} · ${about.arch} · ${short(about.parameters)} parameters${table} · step ${thousands(about.step)}`;
  byId("facts-more").textContent = `Trained with ${about.trained} ACT steps; this page goes up to ${about.most}. ${about.averaged ? "Averaged" : "Raw"} weights, computed on the ${about.device}.`;
  document.title = `Play · ${about.run}`;
  byId("puzzle-title").textContent = title;
  byId("format").textContent = about.format;
  byId("hint").textContent = `${editor.painting ? "Draw with a pen" : "Click a cell and type"}, or paste a whole puzzle anywhere on this page.`;
  const page = KEYS.map(([keys, what]) => [keys, editor.keys.has(keys) ? `${what}, while no cell is chosen` : what]);
  const rows = [...editor.help(), ...page].map(([names, what]) => [el("dt", {}, names.split(" ").map((one) => el("kbd", {}, one))), el("dd", {}, what)]);
  byId("keylist").replaceChildren(...rows.flat());
}

/** The board, for grids of any size with two numbers to resize it and another board for the answer. */
function build() {
  const { drawing, editable, start } = about;
  editor = new Editor(drawing, { label: "Puzzle", editable, start, reserved: KEYS.map(([key]) => key).join(""), onEdit: edited });
  if (!drawing.crop) {
    byId("stage").append(editor.element, editor.palette);
    return;
  }
  output = new Board(drawing, "Answer");
  const limit = (input, most) => Math.max(1, Math.min(most, Math.round(Number(input.value)) || 1));
  const resize = () => editor.resize(limit(sides[0], drawing.height), limit(sides[1], drawing.width));
  sides = ["Rows", "Columns"].map((name) => el("input", { type: "number", min: 1, "aria-label": name, inputMode: "numeric", onchange: resize }));
  sides.answered = el("span", { className: "muted" });
  byId("stage").append(el("div", { className: "two" },
    el("figure", {}, el("figcaption", { className: "row" }, "Test input", el("span", { className: "sides" }, sides[0], " × ", sides[1])), editor.element),
    el("figure", {}, el("figcaption", { className: "row" }, "Answer", sides.answered), output.element)), editor.palette);
}

/** Open on an example and play it once; where no motion is wanted, only show it. */
async function open() {
  const taken = !byId("example").disabled && (await (loading = fetchPuzzle()));
  if (document.activeElement === document.body) editor.focus();
  if (taken && !matchMedia("(prefers-reduced-motion: reduce)").matches) solve(false, false);
}

async function start() {
  try {
    about = await server.get("about");
  } catch (error) {
    fail(error);
    return;
  }
  build();
  if (about.has_tasks) {
    tasks = new Tasks(about.drawing, about.tasks, (name) => (name ? fetchPuzzle(name) : clear()), take);
    byId("tasks").append(...tasks.elements);
    byId("tasks").hidden = false;
  }
  byId("speed").append(...SPEEDS.map((speed) => el("option", { value: speed, selected: speed === 4 }, `${speed} steps/s`)));
  byId("transport").append(transport.element);
  byId("chart").append(chart.element);
  byId("steps").max = about.most;
  byId("steps").value = about.trained;
  byId("example").disabled = !(about.examples || about.tasks.length);
  if (byId("example").disabled) byId("example").title = "The data set of the run is not there: start with data_path=DIR";
  const help = () => byId("keys").showModal();
  const example = () => (loading = fetchPuzzle());
  const rest = () => transport.play();
  const clicks = { example, solve: () => solve(false), other: () => solve(true), text: openText, theme: toggleTheme, help, clear, load: loadText, rest };
  for (const [id, act] of Object.entries(clicks)) byId(id).onclick = act;
  byId("unsure").onchange = () => show(transport.at);
  onKeys({
    Enter: () => solve(false),
    "[": () => transport.move(-1),
    "]": () => transport.move(1),
    p: () => steps.length && transport.toggle(),
    e: () => byId("example").click(),
    a: () => solve(true),
    u: shade,
    t: openText,
    d: toggleTheme,
    "?": help,
  });
  document.addEventListener("paste", paste);
  describe();
  edited();
  open();
}

start();
