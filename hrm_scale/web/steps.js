"use strict";
// Going through the steps of an answer: buttons, a slider, and playing by itself.

class Steps {
  /**
   * first: the first step that can be shown; 0 is the question alone. delay(): milliseconds per step.
   * onShow(at): draw a step. onRest(at): a step is shown to stay, by hand or at the end of playing.
   */
  constructor({ first, delay, onShow, onRest = () => {} }) {
    Object.assign(this, { first, delay, onShow, onRest });
    const button = (id, label, path) => Object.assign(iconButton(label, path), { id });
    this.back = button("back", "Step back", LEFT);
    this.forward = button("forward", "Step forward", RIGHT);
    this.button = button("play", "Play", "M4.5 2.8v10.4L13 8z");
    this.slider = el("input", { id: "shown", type: "range", min: first, value: first, "aria-label": "ACT step shown" });
    this.count = el("output", { id: "count", for: "shown" });
    this.element = el("div", { className: "transport", role: "group", "aria-label": "Steps" }, this.back, this.button, this.forward, this.slider, this.count);
    this.back.onclick = () => this.move(-1);
    this.forward.onclick = () => this.move(1);
    this.button.onclick = () => this.toggle();
    this.slider.oninput = () => this.go(Number(this.slider.value));
    this.reset();
  }

  /** total: steps there will be; available: steps there are; complete: no more come; halt: where playing rests, or 0. */
  set(facts) {
    Object.assign(this, facts);
    this.#draw();
  }

  /** Forget all steps. */
  reset() {
    this.pause();
    this.at = this.first;
    this.set({ total: this.first, available: 0, complete: true, halt: 0 });
  }

  /** Show a step, and stay there. */
  go(at) {
    this.pause();
    if (!this.available) return;
    this.#show(Math.max(this.first, Math.min(this.available, at)));
    this.onRest(this.at);
  }

  move(by) {
    this.go(this.at + by);
  }

  toggle() {
    if (!this.playing) {
      this.play();
      return;
    }
    this.pause();
    this.#show(this.at);
  }

  /** Play from the step shown, from the first after the last. */
  play() {
    const again = this.complete && this.at >= this.available;
    this.#wait(true);
    this.#show(again ? this.first : this.at);
  }

  pause() {
    this.#wait(false);
  }

  #wait(playing) {
    this.playing = playing;
    clearTimeout(this.timer);
    this.button.setAttribute("aria-label", playing ? "Pause" : "Play");
    this.button.title = playing ? "Pause" : "Play";
    this.button.classList.toggle("playing", playing);
    this.button.querySelector("path").setAttribute("d", playing ? "M5 3v10M11 3v10" : "M4.5 2.8v10.4L13 8z");
    if (playing) this.timer = setTimeout(() => this.#tick(), this.delay());
  }

  #tick() {
    const more = this.at < this.available;
    const at = this.at + Number(more);
    const over = (at >= this.available && this.complete) || (more && at === this.halt);
    this.#wait(!over);
    this.#show(at);
    if (over) this.onRest(at);
  }

  #show(at) {
    this.at = at;
    this.onShow(at);
    this.#draw();
  }

  #draw() {
    this.slider.max = this.total;
    this.slider.value = this.at;
    this.count.textContent = `${this.at} / ${this.total}`;
    this.back.disabled = this.at <= this.first;
    this.forward.disabled = this.at >= this.available;
  }
}
