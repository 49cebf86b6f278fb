"use strict";
// Where the data come from: the local server, or the part of the set inside this very file.

/** Tokens from the base64 of their bytes. */
const decode = (text) => Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0));

class Server {
  async ask(path, fields = {}) {
    const given = Object.entries(fields).filter(([, value]) => value !== null && value !== undefined);
    let answer;
    try {
      answer = await fetch(`/api/${path}?${new URLSearchParams(given)}`);
    } catch {
      throw new Error("The viewer's program has ended: start it again and reload this page.");
    }
    const content = await answer.json();
    if (!answer.ok) throw new Error(content.error);
    return content;
  }
}

/** Answers as the server does, from the groups inside this file. */
class Embedded {
  constructor(data) {
    this.data = data;
  }

  async ask(path, fields = {}) {
    return this[path](fields);
  }

  about() {
    const listed = Object.entries(this.data.splits).map(([name, split]) => [name, split.list.length]);
    return { ...this.data.about, listed: Object.fromEntries(listed) };
  }

  groups({ split, start, count }) {
    return this.data.splits[split].list.slice(start, start + count);
  }

  #copiesOf(split, group) {
    const found = this.data.splits[split]?.groups[group];
    if (!found) throw new Error(`Group ${group} of ${split} is not in this file (${this.data.contents}).`);
    return found;
  }

  group({ split, group, copy, variant }) {
    const copies = this.#copiesOf(split, group);
    const found = variant === null ? copies[copy % copies.length] : copies.find((one) => one.augmentation === variant);
    if (!found) throw new Error(`Variant ${variant} of group ${group} is not in this file.`);
    return found;
  }

  copies({ split, group, start, count }) {
    const shown = this.#copiesOf(split, group).slice(start, start + count);
    return shown.map((one) => ({ copy: one.copy, label: one.label, board: one.pairs[0].input }));
  }

  predict(place) {
    return this.group(place).predicted;
  }

  /** The groups inside this file whose number, title, identifier or example is the text. */
  search({ split, q }) {
    const wanted = q.toLowerCase();
    const names = Object.keys(this.data.splits).sort((a, b) => (b === split) - (a === split));
    const hits = [];
    for (const name of names) {
      for (const line of this.data.splits[name].list) {
        for (const one of this.data.splits[name].groups[line.group]) {
          const named = one.name.toLowerCase() === wanted;
          const titled = one.copy === 0 && one.title.toLowerCase().includes(wanted);
          const numbers = [one.group, one.identifier, ...one.pairs.map((pair) => pair.example)];
          if (!named && !titled && !numbers.map(String).includes(wanted)) continue;
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
async function openProvider() {
  if (!byId("data")) return new Server();
  const plain = new Blob([decode(byId("data").textContent.trim())]).stream().pipeThrough(new DecompressionStream("deflate"));
  return new Embedded(await new Response(plain).json());
}
