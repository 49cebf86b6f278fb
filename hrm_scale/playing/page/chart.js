// The halt head's probability over the steps, with a mark where the model would halt.
import { drawn } from "./dom.js";

const [WIDTH, HEIGHT, LEFT, RIGHT, TOP, BOTTOM] = [360, 116, 42, 8, 18, 18];

/** Draw steps of `asked` into a picture; `at` is the one that is shown, `halt` 0 for no halt. */
export function drawChart(svg, steps, asked, at, halt) {
  const most = Math.max(asked, 2);
  const x = (number) => LEFT + ((number - 1) / (most - 1)) * (WIDTH - LEFT - RIGHT);
  const y = (value) => TOP + (1 - value) * (HEIGHT - TOP - BOTTOM);
  const parts = [];
  for (const value of [0, 0.5, 1]) {
    parts.push(drawn("line", { class: "rule", x1: LEFT, x2: WIDTH - RIGHT, y1: y(value), y2: y(value) }));
    parts.push(drawn("text", { x: LEFT - 6, y: y(value) + 3.5, "text-anchor": "end" }, `${100 * value} %`));
  }
  for (const number of [1, most]) {
    parts.push(drawn("text", { x: x(number), y: HEIGHT - 4, "text-anchor": number === 1 ? "start" : "end" }, number === 1 ? "step 1" : String(number)));
  }
  if (halt) {
    const side = x(halt) > WIDTH * 0.7 ? "end" : "start";
    parts.push(drawn("line", { class: "halt", x1: x(halt), x2: x(halt), y1: TOP - 4, y2: y(0) }));
    parts.push(drawn("text", { class: "halt", x: x(halt) + (side === "end" ? 3 : -3), y: TOP - 8, "text-anchor": side }, `would halt at step ${halt}`));
  }
  const points = steps.map((step) => [x(step.step), y(step.halt_probability)]);
  parts.push(drawn("polyline", { class: "curve", points: points.map((point) => point.join(",")).join(" ") }));
  for (const [number, [left, top]] of points.entries()) {
    const now = number + 1 === at;
    if (now || most <= 40) parts.push(drawn("circle", { class: now ? "now" : "dot", cx: left, cy: top, r: now ? 5 : 2.2 }));
  }
  svg.setAttribute("viewBox", `0 0 ${WIDTH} ${HEIGHT}`);
  svg.replaceChildren(...parts);
  svg.setAttribute("aria-label", described(steps, at, halt));
  svg.stepAt = (share) => Math.round(1 + ((share * WIDTH - LEFT) / (WIDTH - LEFT - RIGHT)) * (most - 1));
}

function described(steps, at, halt) {
  const words = [halt ? `would halt at step ${halt}` : "no halt so far"];
  if (at) words.unshift(`step ${at}: ${Math.round(100 * steps[at - 1].halt_probability)} percent`);
  return `Halt probability over ${steps.length} steps, ${words.join(", ")}`;
}
