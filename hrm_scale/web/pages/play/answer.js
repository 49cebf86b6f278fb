"use strict";
// The answer: asked for, received and shown step by step.

let running, output; // the request on its way; the board of answers that are grids of their own
let path = 0; // 0 as trained, else a random start
let steps = []; // of the answer shown
let reveal = false; // bring the verdict of the next answer into view

const transport = new Steps({ first: 0, delay: () => 1000 / Number(byId("speed").value), onShow: show, onRest: report });
const chart = new HaltChart((step) => transport.go(step));

function stop() {
  running?.abort();
  running = null;
}

function forget() {
  announce("");
  steps = [];
  transport.reset();
  byId("replay").hidden = true;
  show(0);
}

function fail(error) {
  announce("");
  showLine("error", error.message);
}

/** Ask the model. scroll: on a small screen bring its verdict into view. */
async function solve(otherPath, scroll = true) {
  await loading;
  stop();
  showLine("error");
  path = otherPath ? path + 1 : 0;
  const mine = (running = new AbortController());
  const count = Math.max(1, Math.min(about.most, Math.round(Number(byId("steps").value)) || about.trained));
  byId("steps").value = count;
  byId("other").textContent = path ? `Another path (now ${path})` : "Another path";
  forget();
  byId("replay").hidden = false;
  reveal = scroll;
  transport.set({ total: count, complete: false });
  transport.play();
  show(0);
  scrollToVerdict();
  const question = { puzzle: editor.text(), steps: count, path };
  if (known) question.answer = boardText(about.drawing, known.shape, known.tokens);
  if (tasks?.content?.name) question.task = tasks.content.name;
  try {
    await server.post("solve", question, (line) => running === mine && receive(line), mine.signal);
    if (running !== mine) return;
    transport.set({ complete: true, total: steps.length });
    draw();
  } catch (error) {
    if (running !== mine) return;
    if (steps.length) transport.set({ complete: true, total: steps.length });
    else forget();
    fail(error);
  }
}

function receive(line) {
  if (line.end === "replaced") fail(new Error("Ended: another page asks this model now."));
  if (!line.step) return;
  steps.push(line);
  transport.set({ available: steps.length, halt: steps.findIndex((step) => step.halts) + 1 });
  draw();
  // The note on the puzzle moves what is below it.
  if (steps.length === 1 && line.note) scrollToVerdict();
}

function scrollToVerdict() {
  if (reveal) transport.element.scrollIntoView({ block: "nearest" });
}

/** Read the verdict of a step aloud. */
function report(at) {
  if (!at) return;
  const { verdict, note } = steps[at - 1];
  announce([verdict, note, `step ${at}`].filter(Boolean).join("; "));
}

/** Paint the question, or the answer after a step. */
function show(at) {
  const [step, before] = [steps[at - 1], steps[at - 2]];
  const board = output || editor;
  if (output) {
    editor.paint({ marks: faults });
    output.element.classList.toggle("waiting", !step);
    sides.answered.textContent = step ? (step.cells.length ? `${step.height} × ${step.width}` : "no grid") : "";
  }
  if (!step) {
    const empty = output ? { shown: editor.tokens.map(() => 0), shape: editor.shape } : {};
    board.paint({ ...empty, marks: faults });
  } else {
    const same = before && before.height === step.height && before.width === step.width;
    board.paint({
      shown: step.cells,
      shape: [step.height, step.width],
      marks: flags(step.wrong, step.cells.length),
      changed: before ? step.cells.map((token, cell) => !same || before.cells[cell] !== token) : [],
      heat: byId("unsure").checked ? step.sure.map((sure) => (100 - sure) / 100) : [],
    });
  }
  draw();
}

/** Everything beside the boards. */
function draw() {
  const at = transport.at;
  const step = steps[at - 1];
  const verdict = byId("verdict");
  verdict.className = step ? { true: "good", false: "bad", null: "" }[step.solved] : "";
  verdict.textContent = step ? step.verdict : steps.length ? "the puzzle" : "the model is working …";
  byId("rest").hidden = transport.playing || !at || at !== transport.halt || at === transport.total;
  showLine("solutions", steps[0]?.note);
  chart.draw(steps.map((one) => one.halt_probability), transport.total, at, transport.halt);
}
