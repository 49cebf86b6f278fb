"use strict";
// What the cell of a board under the pointer holds, said beside the pointer.

const tip = el("div", { id: "tip", role: "tooltip", hidden: true });

function hideTip() {
  tip.hidden = true;
}

/** Say `lines(board, at)` of the cells of all boards that `selector` finds in an area. */
function addTips(area, selector, lines) {
  const show = (event) => {
    const board = event.target.closest(selector)?.board;
    const at = board ? board.cellAt(event) : -1;
    tip.hidden = at < 0;
    if (tip.hidden) return;
    tip.replaceChildren(...lines(board, at).map((line) => el("div", {}, line)));
    const left = Math.min(event.clientX + 14, document.documentElement.clientWidth - tip.offsetWidth - 8);
    const below = event.clientY + 18 + tip.offsetHeight < window.innerHeight;
    tip.style.left = `${Math.max(4, left)}px`;
    tip.style.top = `${below ? event.clientY + 18 : event.clientY - tip.offsetHeight - 10}px`;
  };
  document.body.append(tip);
  area.addEventListener("pointermove", show);
  area.addEventListener("pointerdown", show);
  area.addEventListener("pointerleave", hideTip);
}
