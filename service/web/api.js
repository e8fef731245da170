// The HTTP API as functions. Errors are ApiError with the words of the server.

let key = "";

export function useKey(value) {
  key = value.trim();
}

export class ApiError extends Error {
  constructor(status, problem) {
    super(problem.message);
    this.status = status;
    this.problem = problem;
  }

  /** Whether another key could help. */
  get needsKey() {
    return this.status === 401 || this.status === 403;
  }
}

async function call(path, options) {
  const headers = { ...options.headers, ...(key ? { Authorization: `Bearer ${key}` } : {}) };
  let response;
  try {
    response = await fetch(`./${path}`, { ...options, headers });
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new ApiError(0, { message: "The server can't be reached." });
  }
  const body = await response.json().catch(() => null);
  if (!response.ok) {
    throw new ApiError(response.status, body?.error ?? { message: `The server answered ${response.status}.` });
  }
  return body;
}

const post = (path, body, signal) =>
  call(path, { method: "POST", body: JSON.stringify(body), headers: { "Content-Type": "application/json" }, signal });

export const model = () => call("v1/model", {});
export const readThreads = (body, signal) => post("v1/read", body, signal).then((answer) => answer.threads);
export const scoreThread = (thread, signal) =>
  post("v1/score", { thread }, signal).then((answer) => whole(answer.reports[0]));
export const advise = (thread, signal) =>
  post("v1/advise", { thread }, signal).then((answer) => whole(answer.threads[0]));
export const whatIf = (seen, set, signal) =>
  post("v1/what-if", { cases: [seen], set }, signal).then((answer) => whole(whole(answer.cases[0]).what_if[0]));
export const review = (body) => post("v1/review", body);
export const sendAll = (items) => post("v1/feedback", { items }).then((answer) => answer.results);
export const sendFeedback = (item) => post("v1/feedback", { items: [item] }).then((answer) => whole(answer.results[0]));

/** An item of an answer, unless it failed alone. */
function whole(item) {
  if (item.error) throw new ApiError(422, item.error);
  return item;
}

/** The bytes of a file in Base64. */
export function base64(file) {
  return new Promise((resolve, reject) => {
    const reader = new FileReader();
    reader.onload = () => resolve(reader.result.slice(reader.result.indexOf(",") + 1));
    reader.onerror = () => reject(new ApiError(0, { message: `${file.name} can't be read: ${reader.error.message}` }));
    reader.readAsDataURL(file);
  });
}

export const example = () => fetch("./web/example.html").then((response) => response.blob());
