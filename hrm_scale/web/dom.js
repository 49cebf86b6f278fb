"use strict";
// Elements, short texts and the theme. The scripts of a page share one scope, in the order of index.html.

const byId = (id) => document.getElementById(id);

function set(element, properties, children) {
  for (const [name, value] of Object.entries(properties || {})) {
    const attribute = element instanceof SVGElement || name.includes("-") || ["role", "for", "scope"].includes(name);
    if (attribute) element.setAttribute(name, value);
    else element[name] = value;
  }
  element.append(...children.flat().filter((child) => child !== null && child !== undefined && child !== false));
  return element;
}

/** An HTML element: properties, attributes (names with a dash, role, for, scope), children. Text is never read as HTML. */
const el = (tag, properties, ...children) => set(document.createElement(tag), properties, children);

/** An SVG element: attributes, children. */
const svg = (tag, attributes, ...children) => set(document.createElementNS("http://www.w3.org/2000/svg", tag), attributes, children);

const thousands = (value) => value.toLocaleString("en-US");
const plural = (count, noun) => `${thousands(count)} ${noun}${count === 1 ? "" : "s"}`;
const percent = (share) => `${(100 * share).toFixed(1)} %`;

/** Put a line into an element made for it; without a line the element is hidden. */
function showLine(id, text) {
  byId(id).textContent = text || "";
  byId(id).hidden = !text;
}

/** Read a line aloud to users of a screen reader. */
function announce(text) {
  byId("live").textContent = text;
}

const LEFT = "M10 3 5 8l5 5";
const RIGHT = "m6 3 5 5-5 5";

/** A button whose picture is a path on a 16 x 16 grid. */
function iconButton(label, path, onclick, disabled = false) {
  const picture = svg("svg", { viewBox: "0 0 16 16", "aria-hidden": "true" }, svg("path", { d: path }));
  return el("button", { className: "icon", type: "button", "aria-label": label, title: label, onclick, disabled }, picture);
}

/** Call the action of a key, unless it is typed into a field or a control of its own uses it. */
function onKeys(actions) {
  document.addEventListener("keydown", (event) => {
    const act = actions[event.key];
    if (!act || event.ctrlKey || event.metaKey || event.altKey) return;
    const control = event.target.closest("input, select, textarea, button, a, dialog[open]");
    const toggle = control && ["checkbox", "radio", "range"].includes(control.type);
    const used = toggle ? event.key.startsWith("Arrow") || event.key === " " : ["Enter", " "].includes(event.key);
    if (control && (used || !(toggle || ["BUTTON", "A"].includes(control.tagName)))) return;
    event.preventDefault();
    act(event);
  });
}

/** Light or dark: the choice made here, else the system's. A page from a file may have no storage. */
function toggleTheme() {
  const root = document.documentElement;
  const dark = root.dataset.theme ? root.dataset.theme === "dark" : matchMedia("(prefers-color-scheme: dark)").matches;
  root.dataset.theme = dark ? "light" : "dark";
  try {
    localStorage.setItem("theme", root.dataset.theme);
  } catch {
    // The choice lasts as long as the page.
  }
}

try {
  if (["dark", "light"].includes(localStorage.getItem("theme"))) document.documentElement.dataset.theme = localStorage.getItem("theme");
} catch {
  // The system's theme.
}
