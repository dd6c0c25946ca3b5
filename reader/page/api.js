// The reader's API as the page uses it: rows, lists, changes. The same interface that every client has (/openapi.json).

const token_name = "daybook-token";
export const set_token = (token) => sessionStorage.setItem(token_name, token);

function headers(more = {}) {
  const token = sessionStorage.getItem(token_name);
  return token ? { ...more, Authorization: `Bearer ${token}` } : more;
}

// What a request that was not answered with a row or list means: `status` 0 when nothing answered at all.
export class Problem extends Error {
  constructor(status, detail) {
    super(detail);
    this.status = status;
  }
}

// JSON, with numbers of more digits than JavaScript's have kept as their text: decimals have up to 18 digits. Browsers
// that can't (before 2025) round them.
export const parse = (text) => JSON.parse(text, (_, value, context) =>
  typeof value === "number" && JSON.rawJSON && context.source.replace(/\D/g, "").length > 15 ? JSON.rawJSON(context.source) : value);

async function get(url) {
  let response;
  try {
    response = await fetch(url, { headers: headers({ Accept: "application/json" }) });
  } catch {
    throw new Problem(0, "The reader does not answer.");
  }
  const body = await response.text().then(parse).catch(() => ({}));
  if (!response.ok) throw new Problem(response.status, body.detail ?? `The reader answered with ${response.status}.`);
  const age = response.headers.get("Daybook-Age");
  return { body, age_ms: age === null ? null : Number(age) };
}

const encode = encodeURIComponent;
export const view_list = async () => (await get("/v1/views")).body.views;

// One row; null when nothing is known of that key.
export async function row(view, key) {
  try {
    return await get(`/v1/views/${encode(view)}/${key.map(encode).join("/")}`);
  } catch (problem) {
    if (problem.status === 404) return null;
    throw problem;
  }
}

// A list's first page. `query`: pairs of name and value.
export const list = async (view, query) => get(`/v1/views/${encode(view)}?${new URLSearchParams(query)}`);

// All rows of a list that is known to be short, page by page, and the age of the oldest page.
export async function whole_list(view, query) {
  const rows = [];
  let age_ms = null;
  for (let cursor; cursor !== null; ) {
    const page = await list(view, cursor ? { ...query, cursor } : query);
    rows.push(...page.body.rows);
    age_ms = Math.max(age_ms ?? 0, page.age_ms ?? 0);
    cursor = page.body.next ?? null;
  }
  return { rows, age_ms };
}

// Follows the changes of one key until `signal` aborts: `on_event(name, data)` for each event, `on_state(live)` when the
// connection came or went; throws the Problem when the token is not taken any more. fetch() rather than EventSource, which
// can't send a token.
export async function follow(view, query, signal, on_event, on_state) {
  let last_id = "";
  let pause_ms = 250;
  while (!signal.aborted) {
    try {
      const more = last_id ? { "Last-Event-ID": last_id } : {};
      const response = await fetch(`/v1/views/${encode(view)}/changes?${new URLSearchParams(query)}`,
        { headers: headers({ Accept: "text/event-stream", ...more }), signal });
      if (!response.ok) throw new Problem(response.status, "no changes");
      on_state(true);
      pause_ms = 250;
      const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
      let text = "";
      for (;;) {
        const { value, done } = await reader.read();
        if (done) break;
        text += value;
        const blocks = text.split("\n\n");
        text = blocks.pop();
        for (const block of blocks) {
          const event = { name: "message", data: "" };
          for (const line of block.split("\n")) {
            const [, field, content] = /^([a-z]*): ?(.*)$/.exec(line) ?? [];
            if (field === "event") event.name = content;
            if (field === "data") event.data += content;
            if (field === "id") last_id = content;
          }
          if (event.data || event.name === "reset") on_event(event.name, event.data);
        }
      }
    } catch (problem) {
      if (signal.aborted) return;
      if (problem.status === 401) throw problem;
    }
    on_state(false);
    await new Promise((resolve) => setTimeout(resolve, pause_ms));
    pause_ms = Math.min(pause_ms * 2, 4000);
  }
}
