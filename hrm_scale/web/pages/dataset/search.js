"use strict";
// The search field with its list of hits.

const search = { hits: [], chosen: -1, request: 0, timer: 0 };

function closeHits() {
  byId("hits").hidden = true;
  byId("query").setAttribute("aria-expanded", "false");
  byId("query").removeAttribute("aria-activedescendant");
}

function chooseHit(number) {
  search.chosen = number;
  [...byId("hits").children].forEach((item, at) => item.setAttribute("aria-selected", at === number));
  if (number >= 0) byId("query").setAttribute("aria-activedescendant", `hit-${number}`);
  byId("hits").children[number]?.scrollIntoView({ block: "nearest" });
}

function openHit(hit) {
  closeHits();
  byId("query").blur();
  go({ split: hit.split, group: hit.group, copy: hit.copy ?? 0, variant: hit.variant ?? null });
}

async function findHits() {
  const q = byId("query").value.trim();
  const request = (search.request += 1);
  if (!q) {
    closeHits();
    return;
  }
  try {
    const hits = await provider.ask("search", { split: view.split, q });
    if (request !== search.request) return;
    search.hits = hits;
  } catch (error) {
    fail(error);
    return;
  }
  const items = search.hits.map((hit, at) => {
    const onpointerdown = (event) => (event.preventDefault(), openHit(hit));
    return el("li", { role: "option", id: `hit-${at}`, onpointerdown }, el("b", {}, hit.title), el("span", { className: "muted" }, hit.note));
  });
  if (!items.length) items.push(el("li", { className: "muted", role: "option" }, `nothing is called “${q}”`));
  byId("hits").replaceChildren(...items);
  byId("hits").hidden = false;
  byId("query").setAttribute("aria-expanded", "true");
  chooseHit(search.hits.length ? 0 : -1);
}

async function searchKey(event) {
  const count = search.hits.length;
  if (event.key === "Escape") {
    closeHits();
    byId("query").blur();
  } else if (event.key === "Enter") {
    event.preventDefault();
    clearTimeout(search.timer);
    await findHits();
    const hit = search.hits[Math.max(0, search.chosen)];
    if (hit && byId("query").value.trim()) openHit(hit);
  } else if (["ArrowDown", "ArrowUp"].includes(event.key) && count) {
    event.preventDefault();
    chooseHit((search.chosen + (event.key === "ArrowDown" ? 1 : count - 1)) % count);
  }
}

function startSearch() {
  const query = byId("query");
  query.placeholder = `${about.tasks ? "Task, identifier, g" : about.identifiers > 1 ? "Identifier, g" : "G"}roup, example`;
  query.oninput = () => {
    clearTimeout(search.timer);
    search.timer = setTimeout(findHits, 90);
  };
  query.onkeydown = searchKey;
  query.onblur = closeHits;
  query.onfocus = () => query.select();
}
