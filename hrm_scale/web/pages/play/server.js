"use strict";
// Requests to the program behind the page.

const server = {
  async ask(path, options) {
    let answer;
    try {
      answer = await fetch(`/api/${path}`, options);
    } catch (error) {
      throw server.failure(error);
    }
    if (!answer.ok) throw new Error((await answer.json()).error);
    return answer;
  },

  failure: (error) => (error.name === "AbortError" ? error : new Error("The program has ended: start it again and reload this page.")),

  get: async (path, fields = {}) => (await server.ask(`${path}?${new URLSearchParams(fields)}`)).json(),

  /** Post a question; `onLine` gets each line of the answer as soon as it is there. */
  async post(path, question, onLine, signal) {
    const headers = { "Content-Type": "application/json" };
    const answer = await server.ask(path, { method: "POST", headers, body: JSON.stringify(question), signal });
    const reader = answer.body.pipeThrough(new TextDecoderStream()).getReader();
    let rest = "";
    for (;;) {
      let part;
      try {
        part = await reader.read();
      } catch (error) {
        throw server.failure(error);
      }
      if (part.done) return;
      const lines = (rest + part.value).split("\n");
      rest = lines.pop();
      for (const content of lines.map((line) => JSON.parse(line))) {
        if (content.error) throw new Error(content.error);
        onLine(content);
      }
    }
  },

  /** The one line of an answer. */
  async line(path, question) {
    let found;
    await server.post(path, question, (content) => (found = content));
    return found;
  },
};
