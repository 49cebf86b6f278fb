// ARC grids and tasks as text: ARC's JSON, or rows of digits.

const MOST = 30;

/** Is this a list of rows of colours, all of one length? */
function isGrid(rows) {
  return (
    Array.isArray(rows) && rows.length >= 1 && rows.length <= MOST && Array.isArray(rows[0]) && rows[0].length >= 1 && rows[0].length <= MOST &&
    rows.every((row) => Array.isArray(row) && row.length === rows[0].length && row.every((c) => Number.isInteger(c) && c >= 0 && c <= 9))
  );
}

function pair(content, name, mayLack) {
  if (!isGrid(content?.input)) throw new Error(`The input of ${name} is no grid of the colours 0 to 9, at most ${MOST} x ${MOST}`);
  const known = content.output !== undefined && content.output !== null;
  if ((known || !mayLack) && !isGrid(content.output)) throw new Error(`The output of ${name} is no grid of the colours 0 to 9`);
  return { input: content.input, output: known ? content.output : null };
}

/** {demonstrations, tests} of a text: a task, or one grid. Throws an Error of one line. */
export function readTask(text) {
  const trimmed = text.trim();
  let content;
  if (/^[[{]/.test(trimmed)) {
    try {
      content = JSON.parse(trimmed);
    } catch (error) {
      throw new Error(`That is no JSON: ${error.message}`);
    }
  } else {
    content = trimmed.split(/[/\s]+/).map((line) => [...line].map(Number));
  }
  if (Array.isArray(content)) {
    if (!isGrid(content)) throw new Error(`That is no grid: rows of digits 0 to 9, all of one length, at most ${MOST} x ${MOST}`);
    return { demonstrations: [], tests: [{ input: content, output: null }] };
  }
  if (!Array.isArray(content.train) || !Array.isArray(content.test) || !content.test.length) {
    throw new Error("That is no ARC task: it needs the lists train and test");
  }
  return {
    demonstrations: content.train.map((one, at) => pair(one, `demonstration ${at + 1}`, false)),
    tests: content.test.map((one, at) => pair(one, `test ${at + 1}`, true)),
  };
}

/** A grid as rows of digits with `between` between them. */
export const writeGrid = (rows, between) => rows.map((row) => row.join("")).join(between);
