"use strict";
// The question: typed, drawn, read from text or taken from the data set.

let about, editor, tasks, sides;
let known = null; // the known answer of the question, {shape, tokens}
let faults = []; // cells of the question that contradict each other
let edits = 0; // how often the question was changed
let loading = Promise.resolve(); // an example or a pasted text that is on its way

/** The question was changed: what was answered is no answer to it. */
function edited() {
  edits += 1;
  known = null;
  faults = [];
  path = 0;
  stop();
  showLine("error");
  forget();
  showLine("note", tasks?.note());
  if (sides) [sides[0].value, sides[1].value] = editor.shape;
  if (about.drawing.blank !== null) check(edits);
}

/** Mark the cells of the question that contradict each other already. */
async function check(asked) {
  try {
    const { wrong } = await server.line("check", { puzzle: editor.tokens });
    if (asked !== edits) return;
    faults = flags(wrong, editor.tokens.length);
    if (!transport.at) show(0);
  } catch (error) {
    if (asked === edits) fail(error);
  }
}

const flags = (places, count) => Array.from({ length: count }, (_, at) => places.includes(at));

/** Take a question, and its answer where it is known. */
function take({ input, output }) {
  editor.load(input.shape, input.tokens);
  edited();
  known = output;
}

function takeTask(content) {
  tasks?.show(content);
  take(content.tests[0]);
}

function clear() {
  tasks?.show(null);
  editor.clear();
  editor.focus();
}

const read = async (text) => takeTask(await server.line("read", { text }));

/** Take an example or a task by name, unless the question is changed while it is on its way. Was it taken? */
async function fetchPuzzle(name) {
  const before = edits;
  const any = (count) => Math.floor(Math.random() * count);
  try {
    const chosen = name ?? about.tasks[any(about.tasks.length)];
    const found = about.tasks.length ? await server.get("task", { name: chosen }) : await server.get("example", { number: any(about.examples) });
    if (edits !== before) return false;
    takeTask(found);
    return true;
  } catch (error) {
    fail(error);
    return false;
  }
}
