"use strict";
// State, addresses, keyboard, themes: what ties the parts of the page together.
(function (V) {
  V.state = { split: "", group: 0, copy: 0, variant: null, undo: false, frame: false, step: 0 };
  const LEGENDS = {
    arc: "The colours are the official ones. A dot is padding and a hatched cell an end mark; both are seen in the frame.",
    sudoku: "Clues are bold, what the solution adds is lighter.",
    maze: "Dark cells are walls, S is the start, G the goal, the line is the path.",
  };

  /** The address of a place; what is not named stays as it is. */
  V.link = function (place) {
    const to = { ...V.state, copy: 0, variant: null, ...place };
    let hash = `#split/${encodeURIComponent(to.split)}/group/${to.group}`;
    if (to.variant !== null) hash += `/variant/${to.variant}`;
    else if (to.copy) hash += `/copy/${to.copy}`;
    return hash + (V.state.undo ? "/undo" : "");
  };

  V.go = function (place) {
    const hash = V.link({ copy: V.state.copy, variant: V.state.variant, ...place });
    if (hash === location.hash) V.showGroup();
    else location.hash = hash;
  };

  function read() {
    const words = decodeURIComponent(location.hash.slice(1)).split("/");
    const after = (name) => (words.includes(name) ? words[words.indexOf(name) + 1] : undefined);
    const number = (name) => (/^\d{1,15}$/.test(after(name) || "") ? Number(after(name)) : null);
    const split = after("split") in V.about.splits ? after("split") : Object.keys(V.about.splits)[0];
    return { split, group: number("group"), copy: number("copy") || 0, variant: number("variant"), undo: words.includes("undo") };
  }

  /** Show what the address says. */
  async function follow() {
    const place = read();
    const split = place.split;
    V.list.open(split, V.about.listed?.[split] ?? V.about.splits[split].groups);
    if (place.group === null) {
      const first = await V.provider.groups(split, 0, 1);
      place.group = first[0].group;
    }
    Object.assign(V.state, place);
    for (const tab of V.byId("splits").children) {
      tab.setAttribute("aria-selected", String(tab.dataset.split === split));
    }
    closeMenu();
    await V.showGroup();
  }

  V.toggleUndo = function () {
    V.state.undo = !V.state.undo;
    history.replaceState(null, "", V.link({ copy: V.state.copy, variant: V.state.variant }));
    V.showGroup().then(() => V.byId("undo")?.focus({ preventScroll: true }));
  };

  V.toggleFrame = function () {
    V.state.frame = !V.state.frame;
    V.showGroup();
  };

  /** Say in place of the boards what went wrong. */
  V.fail = function (error) {
    V.byId("main").replaceChildren(
      V.el("div", { className: "failure", role: "alert" }, V.el("h1", {}, "This cannot be shown"), V.el("p", {}, error.message)),
    );
  };

  /** The theme that was chosen here, else the system's. Without storage (a page opened from a
   * file may have none) a choice lasts as long as the page. */
  let theme = null;
  const system = matchMedia("(prefers-color-scheme: dark)");

  function applyTheme() {
    document.documentElement.dataset.theme = theme || (system.matches ? "dark" : "light");
    V.repaintAll();
  }

  function storedTheme() {
    try {
      const chosen = localStorage.getItem("viewer-theme");
      return chosen === "dark" || chosen === "light" ? chosen : null;
    } catch {
      return null;
    }
  }

  function toggleTheme() {
    theme = document.documentElement.dataset.theme === "dark" ? "light" : "dark";
    applyTheme();
    try {
      localStorage.setItem("viewer-theme", theme);
    } catch {
      // Nothing to keep it in.
    }
  }

  function closeMenu() {
    document.body.classList.remove("menu");
    V.byId("menu").setAttribute("aria-expanded", "false");
  }

  function toggleMenu() {
    const open = document.body.classList.toggle("menu");
    V.byId("menu").setAttribute("aria-expanded", String(open));
  }

  const step = (by) => () => V.about.model && V.setStep(V.stepShown() + by);
  const neighbour = (name) => () => {
    const group = V.data?.[name];
    if (group !== null && group !== undefined) V.go({ group, copy: 0, variant: null });
  };
  const otherCopy = (by) => () => {
    const count = V.data?.included || V.data?.copies || 1;
    if (count > 1) V.go({ copy: (V.state.copy + by + count) % count, variant: null });
  };

  const KEYS = {
    ArrowLeft: neighbour("previous"),
    ArrowRight: neighbour("next"),
    ArrowUp: otherCopy(-1),
    ArrowDown: otherCopy(1),
    "/": () => V.byId("query").focus(),
    u: () => V.data?.undo && V.toggleUndo(),
    f: () => V.about.drawn === "arc" && !V.state.undo && V.toggleFrame(),
    d: toggleTheme,
    "?": () => V.byId("keys").showModal(),
    "[": step(-1),
    "]": step(1),
  };

  function key(event) {
    const field = event.target.closest("input, dialog[open]");
    if (event.ctrlKey || event.metaKey || event.altKey || !KEYS[event.key]) return;
    if (field) {
      const slider = field.type === "range" && !event.key.startsWith("Arrow");
      if (!slider) return;
    }
    event.preventDefault();
    KEYS[event.key]();
  }

  function fillHelp() {
    const about = V.about;
    V.byId("legend").textContent = LEGENDS[about.drawn] || "Every token has a colour and its number.";
    const facts = [`${about.kind}, ${about.storage} storage`, `vocabulary ${about.vocab}`, `fingerprint ${about.fingerprint.slice(0, 16)}`];
    if (about.model) facts.push(`model ${about.model.arch}, step ${V.number(about.model.step)}`);
    V.byId("facts").textContent = facts.join(" · ");
  }

  function showHeader() {
    const about = V.about;
    V.byId("name").textContent = about.name;
    const said = [about.kind, about.storage];
    if (about.model) said.push(`model at step ${V.number(about.model.step)}${about.model.averaged ? ", averaged weights" : ""}${about.model.same_data ? "" : ", trained on other data"}`);
    V.byId("kind").textContent = said.join(" · ");
    const tabs = Object.keys(about.splits).map((split) =>
      V.el("button", { role: "tab", "data-split": split, onclick: () => (location.hash = V.link({ split, group: "" })) }, split),
    );
    V.byId("splits").replaceChildren(...tabs);
  }

  async function start() {
    try {
      V.provider = await V.openProvider();
      V.about = await V.provider.about();
    } catch (error) {
      V.fail(error);
      return;
    }
    showHeader();
    fillHelp();
    V.list = new V.GroupList();
    V.startSearch();
    V.byId("theme").onclick = toggleTheme;
    V.byId("help").onclick = KEYS["?"];
    V.byId("menu").onclick = toggleMenu;
    document.addEventListener("keydown", key);
    window.addEventListener("hashchange", () => follow().catch(V.fail));
    system.addEventListener("change", applyTheme);
    let width = window.innerWidth;
    window.addEventListener("resize", () => {
      if (window.innerWidth !== width) V.showGroup();
      width = window.innerWidth;
    });
    await follow().catch(V.fail);
  }

  theme = storedTheme();
  applyTheme();
  start();
})(window.Viewer);
