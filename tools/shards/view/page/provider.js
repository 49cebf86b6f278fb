"use strict";
// Where the data come from: the local server, or the part of the set inside this very file.
(function (V) {
  class ServerProvider {
    async #ask(path, fields) {
      const query = new URLSearchParams();
      for (const [name, value] of Object.entries(fields || {})) {
        if (value !== null && value !== undefined) query.set(name, value);
      }
      let answer;
      try {
        answer = await fetch(`/api/${path}?${query}`);
      } catch {
        throw new Error("The viewer's program has ended: start it again and reload this page.");
      }
      const content = await answer.json();
      if (!answer.ok) throw new Error(content.error);
      return content;
    }

    about() {
      return this.#ask("about");
    }
    groups(split, start, count) {
      return this.#ask("groups", { split, start, count });
    }
    group({ split, group, copy, variant }) {
      return this.#ask("group", { split, group, copy, variant });
    }
    copies(split, group, start, count) {
      return this.#ask("copies", { split, group, start, count });
    }
    predict({ split, group, copy, variant }) {
      return this.#ask("predict", { split, group, copy, variant });
    }
    search(split, q) {
      return this.#ask("search", { split, q });
    }
  }

  class EmbeddedProvider {
    #data;

    constructor(data) {
      this.#data = data;
    }

    async about() {
      return { ...this.#data.about, contents: this.#data.contents, listed: this.#listed() };
    }

    #listed() {
      const splits = Object.entries(this.#data.splits);
      return Object.fromEntries(splits.map(([name, split]) => [name, split.list.length]));
    }

    #copiesOf(split, group) {
      const found = this.#data.splits[split]?.groups[group];
      if (!found) throw new Error(`Group ${group} of ${split} is not in this file (${this.#data.contents}).`);
      return found;
    }

    async groups(split, start, count) {
      return this.#data.splits[split].list.slice(start, start + count);
    }

    async group({ split, group, copy, variant }) {
      const copies = this.#copiesOf(split, group);
      const same = copies.find((one) => variant !== null && one.augmentation === variant);
      const found = variant === null || variant === undefined ? copies[copy % copies.length] : same;
      if (!found) throw new Error(`Variant ${variant} of group ${group} is not in this file.`);
      return found;
    }

    async copies(split, group, start, count) {
      return this.#copiesOf(split, group)
        .slice(start, start + count)
        .map((one) => ({ copy: one.copy, label: one.label, board: one.pairs[0].input }));
    }

    async predict(place) {
      return (await this.group(place)).predicted;
    }

    /** The groups inside this file whose number, title, identifier or example is the text. */
    async search(split, text) {
      const wanted = text.trim().toLowerCase();
      const names = Object.keys(this.#data.splits);
      names.sort((a, b) => (b === split) - (a === split));
      const hits = [];
      for (const name of names) {
        for (const line of this.#data.splits[name].list) {
          for (const one of this.#data.splits[name].groups[line.group]) {
            const numbers = [one.group, one.identifier, ...one.pairs.map((pair) => pair.example)];
            const said = wanted && (one.title.toLowerCase().includes(wanted) || one.name.toLowerCase() === wanted);
            if (!(said && (one.copy === 0 || one.name.toLowerCase() === wanted)) && !numbers.map(String).includes(wanted)) continue;
            const note = `${one.label} · ${name} group ${one.group}`;
            hits.push({ title: one.title || line.title, note, split: name, group: one.group, copy: one.copy });
            if (String(one.group) === wanted) break;
          }
        }
      }
      return hits.slice(0, 12);
    }
  }

  /** The provider of this page. */
  V.openProvider = async function () {
    const embedded = V.byId("embedded");
    if (!embedded) return new ServerProvider();
    const packed = V.decode(embedded.textContent.trim());
    const plain = new Blob([packed]).stream().pipeThrough(new DecompressionStream("deflate"));
    return new EmbeddedProvider(await new Response(plain).json());
  };
})(window.Viewer);
