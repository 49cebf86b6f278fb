"use strict";
// The halt head's probability over the ACT steps, with a mark where the model would halt.

const [WIDTH, HEIGHT, GUTTER, MARGIN] = [360, 116, 42, 8];
const [TOP, BOTTOM] = [18, HEIGHT - 18];

class HaltChart {
  /** onStep(number) is called for a step that is clicked. */
  constructor(onStep) {
    this.element = svg("svg", { class: "halt-chart", viewBox: `0 0 ${WIDTH} ${HEIGHT}`, role: "img" });
    this.element.onclick = (event) => {
      const box = this.element.getBoundingClientRect();
      const share = (((event.clientX - box.left) / box.width) * WIDTH - GUTTER) / (WIDTH - GUTTER - MARGIN);
      onStep(Math.round(1 + share * (this.most - 1)));
    };
  }

  /** sure: probabilities of the steps so far, of `total`; at: the step shown, 0 for none; halt: 0 for none. */
  draw(sure, total, at, halt) {
    const most = (this.most = Math.max(total, 2));
    const x = (number) => GUTTER + ((number - 1) / (most - 1)) * (WIDTH - GUTTER - MARGIN);
    const y = (value) => BOTTOM - value * (BOTTOM - TOP);
    const text = (left, top, anchor, words, name = "") => svg("text", { class: name, x: left, y: top, "text-anchor": anchor }, words);
    const parts = [0, 0.5, 1].flatMap((value) => [
      svg("line", { class: "rule", x1: GUTTER, x2: WIDTH - MARGIN, y1: y(value), y2: y(value) }),
      text(GUTTER - 6, y(value) + 3.5, "end", `${100 * value} %`),
    ]);
    parts.push(text(x(1), HEIGHT - 4, "start", "step 1"), text(x(most), HEIGHT - 4, "end", String(most)));
    if (halt) {
      const [anchor, shift] = halt > most * 0.7 ? ["end", 3] : ["start", -3];
      parts.push(svg("line", { class: "halt", x1: x(halt), x2: x(halt), y1: TOP - 4, y2: BOTTOM }));
      parts.push(text(x(halt) + shift, TOP - 8, anchor, `would halt at step ${halt}`, "halt"));
    }
    parts.push(svg("polyline", { class: "curve", points: sure.map((value, n) => `${x(n + 1)},${y(value)}`).join(" ") }));
    sure.forEach((value, n) => {
      const now = n + 1 === at;
      if (now || most <= 40) parts.push(svg("circle", { class: now ? "now" : "dot", cx: x(n + 1), cy: y(value), r: now ? 5 : 2.2 }));
    });
    this.element.replaceChildren(...parts);
    const words = [halt ? `would halt at step ${halt}` : "no halt so far"];
    if (at) words.unshift(`step ${at}: ${Math.round(100 * sure[at - 1])} percent`);
    this.element.setAttribute("aria-label", `Halt probability over ${sure.length} steps, ${words.join(", ")}`);
  }
}
