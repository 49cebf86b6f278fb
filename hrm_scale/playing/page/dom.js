// Making and finding elements.

/** An element with properties, attributes (names with a dash, role, for) and children. */
export function el(tag, properties = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(properties)) {
    if (name.includes("-") || name === "role" || name === "for") element.setAttribute(name, value);
    else element[name] = value;
  }
  element.append(...children.flat());
  return element;
}

/** An element of a drawing. */
export function drawn(tag, attributes = {}, text = "") {
  const element = document.createElementNS("http://www.w3.org/2000/svg", tag);
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
  element.textContent = text;
  return element;
}

export const byId = (id) => document.getElementById(id);

/** Show a line in an element made for it; nothing hides it. */
export function say(id, text) {
  byId(id).textContent = text || "";
  byId(id).hidden = !text;
}

/** Tell who cannot see the page. */
export function announce(text) {
  byId("live").textContent = text;
}

/** A group of which one is chosen: entries of [value, text, class]. `onchange` gets the value. */
export function choice(label, name, entries, onchange) {
  const options = entries.map(([value, text, className], at) => {
    const input = el("input", { type: "radio", name, value, checked: at === 0, onchange: () => onchange(value) });
    return el("label", { className: `option ${className || ""}`, title: text }, input, el("span", {}, text));
  });
  const group = el("div", { className: "choice", role: "radiogroup", "aria-label": label }, options);
  group.choose = (value) => {
    const input = group.querySelector(`input[value="${value}"]`);
    input.checked = true;
    onchange(value);
  };
  return group;
}
