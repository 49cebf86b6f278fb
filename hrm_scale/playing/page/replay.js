// The steps of an answer: which is shown, and going through them by hand or by themselves.
import { announce, byId, el } from "./dom.js";
import { drawChart } from "./chart.js";

const SPEEDS = [1, 2, 4, 8, 16];

export class Replay {
  /** `onShow(step, before)` draws a step (null: the puzzle alone) and the one before it. */
  constructor(onShow) {
    this.onShow = onShow;
    this.timer = 0;
    byId("speed").append(...SPEEDS.map((speed) => el("option", { value: speed, selected: speed === 4 }, `${speed} steps/s`)));
    byId("back").onclick = () => this.move(-1);
    byId("forward").onclick = () => this.move(1);
    byId("play").onclick = () => this.toggle();
    byId("shown").oninput = () => this.go(Number(byId("shown").value));
    byId("chart").onclick = (event) => {
      const box = byId("chart").getBoundingClientRect();
      this.go(byId("chart").stepAt((event.clientX - box.left) / box.width));
    };
    this.reset();
  }

  /** Forget all steps. */
  reset() {
    this.steps = [];
    this.asked = 0;
    this.at = 0;
    this.complete = true;
    this.#play(false);
    byId("replay").hidden = true;
  }

  /** Wait for the steps of a new answer, and show each when it is there. */
  begin(asked) {
    this.reset();
    this.asked = asked;
    this.complete = false;
    byId("replay").hidden = false;
    this.#play(true);
    this.#show();
  }

  add(step) {
    this.steps.push(step);
    this.#draw();
  }

  /** No more steps come. */
  end() {
    this.complete = true;
    this.asked = this.steps.length;
    this.#show();
  }

  move(by) {
    this.go(this.at + by);
  }

  /** Show a step, and stay there. */
  go(at) {
    if (!this.steps.length) return;
    this.#play(false);
    this.at = Math.max(0, Math.min(this.steps.length, at));
    this.#show();
    if (this.at) announce(`Step ${this.at}: ${this.steps[this.at - 1].verdict}`);
  }

  toggle() {
    if (!this.steps.length) return;
    if (!this.playing && this.at === this.steps.length && this.complete) this.at = 0;
    this.#play(!this.playing);
    this.#show();
  }

  #play(playing) {
    this.playing = playing;
    clearTimeout(this.timer);
    byId("play").setAttribute("aria-label", playing ? "Pause" : "Play");
    byId("play").classList.toggle("playing", playing);
    if (playing) this.timer = setTimeout(() => this.#tick(), 1000 / Number(byId("speed").value));
  }

  #tick() {
    if (this.at < this.steps.length) this.at += 1;
    const over = this.at === this.steps.length && this.complete;
    this.#play(!over);
    this.#show();
    if (over && this.at) announce(this.steps[this.at - 1].verdict);
  }

  /** The step at which the model would halt, 0 for none so far. */
  get halt() {
    return this.steps.findIndex((step) => step.halts) + 1;
  }

  #show() {
    this.onShow(this.at ? this.steps[this.at - 1] : null, this.at > 1 ? this.steps[this.at - 2] : null);
    this.#draw();
  }

  #draw() {
    const step = this.at ? this.steps[this.at - 1] : null;
    const shown = byId("shown");
    shown.max = this.asked;
    shown.value = this.at;
    byId("count").textContent = `${this.at} / ${this.asked}`;
    byId("back").disabled = this.at === 0;
    byId("forward").disabled = this.at >= this.steps.length;
    const verdict = byId("verdict");
    verdict.className = step ? { true: "good", false: "bad", null: "" }[step.solved] : "";
    verdict.textContent = step ? step.verdict : this.steps.length ? "the puzzle" : "the model is working …";
    drawChart(byId("chart"), this.steps, this.asked, this.at, this.halt);
  }
}
