"use strict";
// State, addresses, keyboard: what ties the parts of the page together.

const view = { split: "", group: 0, copy: 0, variant: null, undo: false, frame: false, step: 0 };
let [provider, about, list] = [null, null, null];

/** The address of a place; what is not named stays as it is. */
function link(place) {
  const to = { ...view, copy: 0, variant: null, ...place };
  const copy = to.variant !== null ? `/variant/${to.variant}` : to.copy ? `/copy/${to.copy}` : "";
  return `#split/${encodeURIComponent(to.split)}/group/${to.group}${copy}${view.undo ? "/undo" : ""}`;
}

function go(place) {
  const hash = link({ copy: view.copy, variant: view.variant, ...place });
  if (hash === location.hash) showGroup();
  else location.hash = hash;
}

function goGroup(name) {
  if (data && data[name] !== null) go({ group: data[name], copy: 0, variant: null });
}

/** Show what the address says. */
async function follow() {
  const words = decodeURIComponent(location.hash.slice(1)).split("/");
  const after = (name) => (words.includes(name) ? words[words.indexOf(name) + 1] : undefined);
  const number = (name) => (/^\d{1,15}$/.test(after(name) || "") ? Number(after(name)) : null);
  const split = after("split") in about.splits ? after("split") : Object.keys(about.splits)[0];
  list.open(split);
  const group = number("group") ?? (await provider.ask("groups", { split, start: 0, count: 1 }))[0].group;
  Object.assign(view, { split, group, copy: number("copy") || 0, variant: number("variant"), undo: words.includes("undo") });
  for (const tab of byId("splits").children) tab.setAttribute("aria-selected", tab.dataset.split === split);
  showMenu(false);
  await showGroup();
}

async function toggleUndo() {
  if (!data?.undo) return;
  view.undo = !view.undo;
  history.replaceState(null, "", link({ copy: view.copy, variant: view.variant }));
  await showGroup();
  byId("undo")?.focus({ preventScroll: true });
}

async function toggleFrame() {
  if (!about.drawing.crop || view.undo) return;
  view.frame = !view.frame;
  await showGroup();
  byId("frame")?.focus({ preventScroll: true });
}

/** Say in place of the boards what went wrong. */
function fail(error) {
  byId("main").replaceChildren(el("div", { className: "error", role: "alert" }, el("h1", {}, "This cannot be shown"), el("p", {}, error.message)));
}

function showMenu(open) {
  document.body.classList.toggle("menu", open);
  byId("menu").setAttribute("aria-expanded", open);
}

const step = (by) => () => about.model && setStep(stepShown() + by);
const otherCopy = (by) => () => data?.copies > 1 && goCopy(data.copy + by);
const KEYS = {
  ArrowLeft: () => goGroup("previous"),
  ArrowRight: () => goGroup("next"),
  ArrowUp: otherCopy(-1),
  ArrowDown: otherCopy(1),
  "/": () => byId("query").focus(),
  u: toggleUndo,
  f: toggleFrame,
  d: toggleTheme,
  "?": () => byId("keys").showModal(),
  "[": step(-1),
  "]": step(1),
};

function showHeader() {
  const { model } = about;
  const said = [about.kind, about.storage];
  if (model) said.push(`model at step ${thousands(model.step)}${model.averaged ? ", averaged weights" : ""}${model.same_data ? "" : ", trained on other data"}`);
  byId("name").textContent = about.name;
  byId("kind").textContent = said.join(" · ");
  const tabs = Object.keys(about.splits).map((split) => el("button", { role: "tab", "data-split": split, onclick: () => (location.hash = link({ split, group: "" })) }, split));
  byId("splits").replaceChildren(...tabs);
  const facts = [`${about.kind}, ${about.storage} storage`, `vocabulary ${about.vocab}`, `fingerprint ${about.fingerprint.slice(0, 16)}`];
  if (model) facts.push(`model ${model.arch}, step ${thousands(model.step)}`);
  byId("facts").textContent = facts.join(" · ");
  byId("tokens").replaceChildren(...about.drawing.tokens.map(legend));
}

/** A token as it is drawn, with its name. */
function legend({ name }, token) {
  const board = new Board(about.drawing, "");
  board.paint({ shown: [token], shape: [1, 1], part: [0, 0, 1, 1] });
  return el("li", {}, board.element, el("span", {}, name));
}

async function start() {
  try {
    provider = await openProvider();
    about = await provider.ask("about");
  } catch (error) {
    fail(error);
    return;
  }
  const { crop } = about.drawing;
  document.body.classList.add(about.model ? "three" : "two", crop ? "framed" : "whole");
  showHeader();
  list = new GroupList();
  startSearch();
  byId("theme").onclick = toggleTheme;
  byId("help").onclick = KEYS["?"];
  byId("menu").onclick = () => showMenu(!document.body.classList.contains("menu"));
  onKeys(KEYS);
  addTips(byId("main"), ".pair .board", tipLines);
  window.addEventListener("hashchange", () => follow().catch(fail));
  await follow().catch(fail);
}

start();
