// What the server is asked, and what it answers. Whatever goes wrong becomes an Error of one line.

const GONE = "the server does not answer: does `scalespace serve` still run?";

async function reached(promise) {
  try {
    return await promise;
  } catch (error) {
    throw error.name === "AbortError" ? error : new Error(GONE);
  }
}

async function fetched(path, options) {
  const answer = await reached(fetch(path, options));
  if (answer.ok) return answer;
  let reason = `the server answers ${answer.status}`;
  try {
    reason = (await answer.json()).error;
  } catch { /* no JSON: it was not this server's own answer */ }
  throw new Error(reason);
}

export const get = (path) => fetched(path);

export const post = (path, body, signal) => fetched(path, {
  method: "POST", headers: { "content-type": "application/json" }, body: JSON.stringify(body), signal,
});

/** The events of an answer, [name, values] each, as they come. EventSource could not send a drawing. */
export async function* events(path, body, signal) {
  const { body: bytes } = await post(path, body, signal);
  const reader = bytes.pipeThrough(new TextDecoderStream()).getReader();
  let text = "", last = "";
  for (let part; !(part = await reached(reader.read())).done;) {
    text += part.value;
    for (let at; (at = text.indexOf("\n\n")) >= 0; text = text.slice(at + 2)) {
      const [name, data] = text.slice(0, at).split("\n");
      last = name.slice("event: ".length);
      const values = JSON.parse(data.slice("data: ".length));
      if (last === "error") throw new Error(values.error);
      yield [last, values];
    }
  }
  if (last !== "done") throw new Error("the server stopped midway");
}
