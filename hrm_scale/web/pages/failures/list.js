"use strict";
// The list of failing puzzles: sorting, opening, keys. Runs when the page is read.

const COLUMNS = [
  { key: "row", name: "Row", value: (puzzle) => puzzle.row },
  { key: "wrong", name: "Wrong cells", value: (puzzle) => puzzle.wrong },
  { key: "rating", value: (puzzle) => puzzle.rating },
  { key: "broken", name: "First contradiction", value: (puzzle) => puzzle.broken || null },
  { key: "returns", name: "Returns", value: (puzzle) => puzzle.returns },
  { key: "halt", name: "Halt head", value: (puzzle) => puzzle.halt.at(-1), text: (value) => `${(100 * sure(value)).toFixed(0)} %` },
  { key: "source", name: "Source", value: (puzzle) => puzzle.source },
];

/** The puzzles with their boards unpacked: question, label, labelled (1 or 0), and steps of tokens. */
async function unpack(about) {
  const packed = Uint8Array.from(atob(about.bytes), (letter) => letter.charCodeAt(0));
  const stream = new Blob([packed]).stream().pipeThrough(new DecompressionStream("deflate"));
  const bytes = new Uint8Array(await new Response(stream).arrayBuffer());
  let at = 0;
  const take = () => bytes.subarray(at, (at += about.cells));
  return about.puzzles.map((facts) => {
    const [question, label, labelled] = [take(), take(), take()];
    return { ...facts, question, label, labelled, steps: Array.from({ length: about.steps }, take) };
  });
}

/** Smaller first; what is not known comes last in both directions. */
function compare(one, other, sign) {
  if (one === null || other === null) return Number(one === null) - Number(other === null);
  return sign * (typeof one === "string" ? one.localeCompare(other) : one - other);
}

function startList(about, puzzles) {
  const columns = COLUMNS.filter(({ value }) => puzzles.some((puzzle) => value(puzzle) !== null));
  const sort = { key: "wrong", sign: 1 };
  const body = el("tbody");
  let view = null;
  let lines = [];

  const open = (puzzle, move) => {
    for (const line of lines) {
      if (line.puzzle === puzzle) line.row.setAttribute("aria-current", "true");
      else line.row.removeAttribute("aria-current");
    }
    view = showPuzzle(about, puzzle, byId("detail"));
    if (!move) return;
    // Not into the history: going back should leave the page.
    history.replaceState(null, "", `#row-${puzzle.row}`);
    if (getComputedStyle(byId("detail")).position === "static") byId("detail").scrollIntoView();
  };

  lines = puzzles.map((puzzle) => {
    const cells = columns.map(({ key, value, text }) => {
      const found = value(puzzle);
      const words = found === null ? "–" : text ? text(found) : String(found);
      if (key === "row") return el("th", { scope: "row" }, el("button", { type: "button", title: `Open row ${words}` }, words));
      return el("td", { className: key === "source" ? "text" : "", title: key === "source" ? words : "" }, words);
    });
    const row = el("tr", {}, ...cells);
    row.addEventListener("click", () => open(puzzle, true));
    return { puzzle, row };
  });

  const heads = columns.map(({ key, name }) => {
    const button = el("button", { type: "button" }, key === "rating" ? about.rating : name);
    button.addEventListener("click", () => {
      sort.sign = sort.key === key ? -sort.sign : 1;
      sort.key = key;
      order();
    });
    return { key, head: el("th", { scope: "col", className: key === "source" ? "text" : "" }, button) };
  });

  const order = () => {
    const { value } = columns.find(({ key }) => key === sort.key);
    lines.sort((one, other) => compare(value(one.puzzle), value(other.puzzle), sort.sign) || one.puzzle.row - other.puzzle.row);
    body.replaceChildren(...lines.map(({ row }) => row));
    for (const { key, head } of heads) {
      if (key === sort.key) head.setAttribute("aria-sort", sort.sign > 0 ? "ascending" : "descending");
      else head.removeAttribute("aria-sort");
    }
  };
  order();
  byId("list").replaceChildren(el("table", {}, el("thead", {}, el("tr", {}, ...heads.map(({ head }) => head))), body));
  byId("browse").hidden = false;

  body.addEventListener("keydown", (event) => {
    const by = { ArrowDown: 1, ArrowUp: -1 }[event.key];
    const at = lines.findIndex(({ row }) => row.contains(event.target));
    if (!by || at < 0 || !lines[at + by]) return;
    event.preventDefault();
    lines[at + by].row.querySelector("button").focus();
    open(lines[at + by].puzzle, true);
  });
  onKeys({ "[": () => view.move(-1), "]": () => view.move(1) });
  addTips(byId("detail"), ".boards .board", (board, at) => [
    board.describe(at), `row ${Math.floor(at / about.drawing.width) + 1}, column ${(at % about.drawing.width) + 1}`]);
  let width = byId("detail").clientWidth;
  new ResizeObserver(() => {
    if (width === byId("detail").clientWidth) return;
    width = byId("detail").clientWidth;
    view.resize();
  }).observe(byId("detail"));
  const named = lines.find(({ puzzle }) => location.hash === `#row-${puzzle.row}`);
  open((named || lines[0]).puzzle, Boolean(named));
  if (named) {
    named.row.scrollIntoView({ block: "center" });
    byId("browse").scrollIntoView();
  }
}

byId("theme").hidden = false;
byId("theme").onclick = toggleTheme;
onKeys({ d: toggleTheme });
{
  const about = JSON.parse(byId("data").textContent);
  if (!about.puzzles.length) showLine("trouble", "Every puzzle was solved.");
  else if (!("DecompressionStream" in window)) showLine("trouble", "This browser is too old for the list: it needs one of 2023 or newer.");
  else unpack(about).then((puzzles) => startList(about, puzzles));
}
