"use strict";
// One namespace for all files of the page; they run in the order in which index.html lists them.
window.Viewer = {};

(function (V) {
  /** An element with properties, attributes (names with a dash, or role), listeners and children. */
  V.el = function (tag, properties, ...children) {
    const element = document.createElement(tag);
    for (const [name, value] of Object.entries(properties || {})) {
      if (name.includes("-") || name === "role" || name === "for") element.setAttribute(name, value);
      else element[name] = value;
    }
    element.append(...children.flat().filter((child) => child !== null && child !== undefined));
    return element;
  };

  V.byId = (id) => document.getElementById(id);

  /** 12345 as 12,345. */
  V.number = (value) => value.toLocaleString("en-US");

  V.plural = (count, noun) => `${V.number(count)} ${noun}${count === 1 ? "" : "s"}`;

  /** A toggle button that says its state to everybody. */
  V.toggle = function (text, key, pressed, onclick) {
    return V.el(
      "button",
      { className: "toggle", "aria-pressed": String(pressed), onclick, title: `${text} (${key})` },
      text,
      V.el("kbd", { "aria-hidden": "true" }, key),
    );
  };

  /** An icon button whose picture is a path on a 16 x 16 grid. */
  V.arrow = function (label, path, onclick, disabled) {
    const button = V.el("button", { className: "icon", "aria-label": label, title: label, onclick });
    button.disabled = Boolean(disabled);
    const svg = document.createElementNS("http://www.w3.org/2000/svg", "svg");
    svg.setAttribute("viewBox", "0 0 16 16");
    svg.setAttribute("aria-hidden", "true");
    const line = document.createElementNS("http://www.w3.org/2000/svg", "path");
    line.setAttribute("d", path);
    svg.append(line);
    button.append(svg);
    return button;
  };

  V.LEFT = "M10 3 5 8l5 5";
  V.RIGHT = "m6 3 5 5-5 5";

  /** Tokens from the base64 of their bytes. */
  V.decode = (text) => Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0));

  V.announce = (text) => {
    V.byId("live").textContent = text;
  };
})(window.Viewer);
