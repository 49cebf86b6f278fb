"use strict";
// The search field with its list of hits.
(function (V) {
  const query = () => V.byId("query");
  const hits = () => V.byId("hits");
  let found = [];
  let chosen = -1;
  let asked = 0;
  let timer = 0;

  function close() {
    hits().hidden = true;
    query().setAttribute("aria-expanded", "false");
    query().removeAttribute("aria-activedescendant");
  }

  function choose(number) {
    chosen = number;
    [...hits().children].forEach((item, at) => item.setAttribute("aria-selected", String(at === number)));
    if (number >= 0) query().setAttribute("aria-activedescendant", `hit-${number}`);
    hits().children[number]?.scrollIntoView({ block: "nearest" });
  }

  function open(hit) {
    close();
    query().blur();
    V.go({ split: hit.split, group: hit.group, copy: hit.copy ?? 0, variant: hit.variant ?? null });
  }

  async function ask() {
    const text = query().value.trim();
    const request = (asked += 1);
    if (!text) {
      close();
      return;
    }
    try {
      const answer = await V.provider.search(V.state.split, text);
      if (request !== asked) return;
      found = answer;
    } catch (error) {
      V.fail(error);
      return;
    }
    const items = found.map((hit, at) =>
      V.el(
        "li",
        { role: "option", id: `hit-${at}`, onpointerdown: (event) => (event.preventDefault(), open(hit)) },
        V.el("b", {}, hit.title),
        V.el("span", { className: "muted" }, hit.note),
      ),
    );
    if (!items.length) items.push(V.el("li", { className: "muted", role: "option" }, `nothing is called “${text}”`));
    hits().replaceChildren(...items);
    hits().hidden = false;
    query().setAttribute("aria-expanded", "true");
    choose(found.length ? 0 : -1);
  }

  function key(event) {
    if (event.key === "Escape") {
      close();
      query().blur();
    } else if (event.key === "Enter") {
      event.preventDefault();
      clearTimeout(timer);
      ask().then(() => found[Math.max(0, chosen)] && query().value.trim() && open(found[Math.max(0, chosen)]));
    } else if ((event.key === "ArrowDown" || event.key === "ArrowUp") && found.length) {
      event.preventDefault();
      choose((chosen + (event.key === "ArrowDown" ? 1 : found.length - 1)) % found.length);
    } else return;
    event.stopPropagation();
  }

  V.startSearch = function () {
    const arc = V.about.drawn === "arc";
    query().placeholder = arc ? "Task, identifier, group, example" : "Group or example";
    if (!arc && V.about.identifiers > 1) query().placeholder = "Identifier, group, example";
    query().addEventListener("input", () => {
      clearTimeout(timer);
      timer = setTimeout(ask, 90);
    });
    query().addEventListener("keydown", key);
    query().addEventListener("blur", close);
    query().addEventListener("focus", () => query().select());
  };
})(window.Viewer);
