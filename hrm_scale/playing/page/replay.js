// The steps of an answer: which is shown, and going through them by hand or by themselves.
import { announce, byId, el, say } from "./dom.js";
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
    for (const id of ["play", "rest"]) byId(id).onclick = () => this.toggle();
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

  /** Wait for the steps of a new answer, and show each when it is there. `reveal`: on a small screen
   * bring the verdict into view. */
  begin(asked, reveal) {
    this.reset();
    this.asked = asked;
    this.complete = false;
    byId("replay").hidden = false;
    this.#play(true);
    this.#show();
    this.reveal = reveal;
    this.#scroll();
  }

  add(step) {
    this.steps.push(step);
    this.#draw();
    // The note on the puzzle moves what is below it.
    if (this.steps.length === 1 && step.note) this.#scroll();
  }

  #scroll() {
    if (this.reveal) byId("shown").parentElement.scrollIntoView({ block: "nearest" });
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

  /** Go on by a step, up to the one at which the model would halt or, begun there, to the last. */
  #tick() {
    const more = this.at < this.steps.length;
    if (more) this.at += 1;
    const over = (this.at === this.steps.length && this.complete) || (more && this.at === this.halt);
    this.#play(!over);
    this.#show();
    if (!over || !this.at) return;
    const { verdict, note } = this.steps[this.at - 1];
    announce(note ? `${verdict}; ${note}` : verdict);
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
    byId("rest").hidden = this.playing || !this.at || this.at !== this.halt || this.at === this.asked;
    say("solutions", this.steps[0]?.note);
    drawChart(byId("chart"), this.steps, this.asked, this.at, this.halt);
  }
}
