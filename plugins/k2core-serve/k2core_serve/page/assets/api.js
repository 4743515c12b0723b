// Talking to the server that this page came from, with the key that this tab knows.

const KEY = "k2core.key";
let wanted = null;

export const key = {
  get: () => { try { return sessionStorage.getItem(KEY) || ""; } catch { return ""; } },
  set: (value) => { try { value ? sessionStorage.setItem(KEY, value) : sessionStorage.removeItem(KEY); } catch { /* none kept */ } },
  /** `ask(message)` is called when the server wants another key; it promises whether there is one. */
  whenWanted: (ask) => { wanted = ask; },
};

/** The server has said no, or cannot be reached; `message` is for people. */
export class Refusal extends Error {
  constructor(message, status = 0) {
    super(message);
    this.status = status;
  }
}

/** An address of the server, wherever the page is mounted. */
export const address = (path) => new URL(path, document.baseURI);

async function send(path, options = {}, again = true) {
  const headers = { ...options.headers };
  if (key.get()) headers.authorization = `Bearer ${key.get()}`;
  let response;
  try {
    response = await fetch(address(path), { ...options, headers, cache: "no-store" });
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new Refusal("The server cannot be reached.");
  }
  if (response.ok) return response;
  const message = await reason(response);
  if (response.status === 401 && again && wanted && await wanted(message)) return send(path, options, false);
  throw new Refusal(message, response.status);
}

async function reason(response) {
  try {
    const message = (await response.json()).error.message;
    return message.charAt(0).toUpperCase() + message.slice(1) + (/[.!?]$/.test(message) ? "" : ".");
  } catch {
    return `The server answered with status ${response.status}.`;
  }
}

export const get = async (path) => (await send(path)).json();
export const blob = async (path) => (await send(path)).blob();
export const post = async (path) => (await send(path, { method: "POST", headers: { "content-type": "application/json" } })).json();

/** Asks a problem and yields its events until the end. Aborting the signal stops the run. */
export async function* ask(question, signal) {
  const headers = { "content-type": "application/json", accept: "text/event-stream" };
  const response = await send("api/ask", { method: "POST", headers, body: JSON.stringify(question), signal });
  const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
  let rest = "";
  for (;;) {
    let piece;
    try {
      piece = await reader.read();
    } catch (error) {
      if (error.name === "AbortError") throw error;
      throw new Refusal("The connection broke off before the end.");
    }
    if (piece.done) break;
    const messages = (rest + piece.value).split("\n\n");
    rest = messages.pop();
    for (const message of messages) if (message.startsWith("data: ")) yield JSON.parse(message.slice(6));
  }
}
