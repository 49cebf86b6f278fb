// Asking the program behind the page.

const ENDED = "The program has ended: start it again and reload this page.";

async function ask(path, options) {
  let answer;
  try {
    answer = await fetch(`/api/${path}`, options);
  } catch (error) {
    throw error.name === "AbortError" ? error : new Error(ENDED);
  }
  if (!answer.ok) throw new Error((await answer.json()).error);
  return answer;
}

export const about = async () => (await ask("about")).json();
export const example = async (number) => (await ask(`example?number=${number}`)).json();
export const task = async (name) => (await ask(`task?name=${encodeURIComponent(name)}`)).json();

/** Ask for the steps of an answer; `onLine` gets each as soon as it is there. */
export async function solve(question, signal, onLine) {
  const headers = { "Content-Type": "application/json" };
  const answer = await ask("solve", { method: "POST", headers, body: JSON.stringify(question), signal });
  const reader = answer.body.pipeThrough(new TextDecoderStream()).getReader();
  let rest = "";
  for (;;) {
    let part;
    try {
      part = await reader.read();
    } catch (error) {
      throw error.name === "AbortError" ? error : new Error(ENDED);
    }
    if (part.done) return;
    const lines = (rest + part.value).split("\n");
    rest = lines.pop();
    for (const line of lines) {
      const content = JSON.parse(line);
      if (content.error) throw new Error(content.error);
      onLine(content);
    }
  }
}
