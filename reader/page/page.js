// The dashboard: one view and key, its figures and texts (of today where the key has a date, and of the last 30 days),
// kept up to date by the reader's change events.
// What is shown stands in the address, so that it can be kept and sent.
import * as api from "./api.js";
import { draw_chart } from "./chart.js";
import { add_days, long_day, series, today_in } from "./days.js";
import { is_number, is_same, is_time, number_text, plain, text_of } from "./values.js";

const day_count = 30;
const format = new Intl.NumberFormat();
const find = (id) => document.getElementById(id);

let views = [];
let shown = null;  // {view, key, rows, came, was_there, stop}: what is on the screen; `came`: what a reload must not lose

const words = (name) => name.charAt(0).toUpperCase() + name.slice(1).replaceAll("_", " ");
const date_column = (view) => view.key.find((column) => column.type === "date");
const entity_columns = (view) => view.key.filter((column) => column.type !== "date");

function make(name, attributes = {}, ...children) {
  const made = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  made.append(...children);
  return made;
}

// A value as its type wants it; times tell their exact text when pointed at.
function value_of(column, value) {
  const text = text_of(column, value);
  if (value === null || value === undefined) return make("span", { role: "img", "aria-label": "no value" }, text);
  if (is_time(column)) return make("time", { datetime: value, title: value }, text);
  return column.type === "json" ? make("code", {}, text) : text;
}

function say(text) {
  find("message").hidden = !text;
  find("message").textContent = text ?? "";
}

function set_live(state, text) {
  find("live").dataset.state = state;
  if (find("live-text").textContent !== text) find("live-text").textContent = text;
}

function set_fresh(age_ms) {
  if (age_ms === null) return;
  find("fresh").textContent = age_ms < 1000 ? `Up to date to within ${Math.max(age_ms, 1)} ms`
    : `As of ${format.format(Math.round(age_ms / 1000))} s ago`;
}

// Asks for a token when the reader wants one; true when it is worth trying again.
async function signed_in(problem) {
  if (problem.status !== 401) return false;
  const dialog = find("sign-in");
  dialog.showModal();
  await new Promise((resolve) => dialog.addEventListener("close", resolve, { once: true }));
  const token = find("token").value.trim();
  find("token").value = "";
  if (token) api.set_token(token);
  return token !== "";
}

// ---- choosing ----

async function show_keys(view, values) {
  find("description").textContent = view.description ?? "";
  const fields = entity_columns(view).map((column) => {
    const input = make("input", { name: column.name, required: "", list: `known-${column.name}`, spellcheck: "false" });
    input.value = values[column.name] ?? "";
    return make("label", { class: "field" }, words(column.name), input, make("datalist", { id: `known-${column.name}` }));
  });
  find("keys").replaceChildren(...fields);

  // Keys that had a row of late are offered.
  const { body } = await api.list(view.name, {});
  if (find("view").value !== view.name) return;
  for (const column of entity_columns(view)) {
    const known = [...new Set(body.rows.map((row) => String(plain(row[column.name]))))].sort();
    find(`known-${column.name}`)?.replaceChildren(...known.map((value) => make("option", { value })));
  }
  const first = body.rows[0];
  if (first && entity_columns(view).every((column) => !values[column.name])) {
    for (const column of entity_columns(view)) find("keys").querySelector(`[name="${column.name}"]`).value = plain(first[column.name]);
  }
}

const chosen_view = () => views.find((view) => view.name === find("view").value);
const chosen_key = (view) =>
  Object.fromEntries(entity_columns(view).map((column) => [column.name, find("choice").elements[column.name].value.trim()]));

// ---- showing ----

function draw_cards(view, row, before, changed) {
  if (!row && !before) return find("cards").replaceChildren();
  const cards = view.columns.filter(is_number).map((column) => {
    const card = make("article", { class: "card" },
      make("h3", {}, words(column.name)),
      make("p", { class: "figure" }, value_of(column, row?.[column.name])));
    if (before) {
      card.append(make("p", { class: "against" }, column.value === "balance"
        ? `${number_text(column, plain(row?.[column.name] ?? 0) - plain(before[column.name]), { signDisplay: "exceptZero" })} since yesterday`
        : `Yesterday ${text_of(column, before[column.name])}`));
    }
    if (changed?.has(column.name)) card.classList.add("changed");
    return card;
  });
  find("cards").replaceChildren(...cards);
}

// What is no number, as a list.
function draw_facts(view, row, changed) {
  const facts = view.columns.filter((column) => row && !is_number(column)).map((column) =>
    make("div", changed?.has(column.name) ? { class: "changed" } : {}, make("dt", {}, words(column.name)), make("dd", {}, value_of(column, row[column.name]))));
  find("facts").replaceChildren(...facts);
}

function draw_row(view, row, before, changed) {
  draw_cards(view, row, before, changed);
  draw_facts(view, row, changed);
}

function draw_history(view, rows, today) {
  const all = view.columns.map((column) => ({ column, points: series(rows, column, today, day_count) }));
  const numbers = all.filter(({ column }) => is_number(column));
  if (find("charts").childElementCount !== numbers.length) {
    find("charts").replaceChildren(...numbers.map(({ column }) =>
      make("figure", { class: "card chart" }, make("h3", {}, words(column.name)), make("p", { class: "at" }))));
  }
  numbers.forEach(({ column, points }, i) => draw_chart(find("charts").children[i], points, {
    title: words(column.name), is_level: column.value === "balance", text: (value) => text_of(column, value), least: 10 ** -(column.scale ?? 0),
  }));

  const head = make("tr", {}, make("th", { scope: "col" }, "Day"), ...view.columns.map((c) => make("th", { scope: "col" }, words(c.name))));
  const lines = all[0].points.map(({ day }, i) => make("tr", {}, make("th", { scope: "row" }, long_day(day)),
    ...all.map(({ column, points }) => make("td", {}, value_of(column, points[i].value))))).reverse();
  find("table").replaceChildren(make("caption", { class: "unseen" }, "The last 30 days, newest first"),
    make("thead", {}, head), make("tbody", {}, ...lines));
}

// What a row of a view without a date is.
function title_of(view, key) {
  if (view.kind === "latest") return "Newest state";
  const time = view.key.find(is_time);
  const text = time ? text_of(time, key[time.name]) : "";
  if (view.kind === "log") return `Entry of ${text}`;
  return time ? `${words(time.type)} from ${text}` : "All so far";
}

function draw(changed) {
  const { view, key, rows } = shown;
  const date = date_column(view);
  if (!date) {
    find("figures-title").textContent = title_of(view, key);
    return draw_row(view, rows.get(""), null, changed);
  }
  const today = today_in(date.time_zone);
  const before = [...rows.keys()].filter((day) => day <= today).sort().pop();
  const value_on = (day) => Object.fromEntries(view.columns.map((column) => [column.name, series(rows, column, day, 1)[0].value]));
  find("figures-title").textContent = `Today, ${long_day(today)}`;
  draw_row(view, before === undefined ? null : value_on(today), value_on(add_days(today, -1)), changed);
  draw_history(view, rows, today);
}

// Reads what the screen needs: for a view by day the last 31 days and the level before them.
async function load(view, key) {
  const date = date_column(view);
  const values = entity_columns(view).map((column) => key[column.name]);
  const rows = new Map();
  if (!date) {
    const found = await api.row(view.name, values);
    if (found) rows.set("", found.body);
    return { rows, age_ms: found?.age_ms ?? null };
  }
  const today = today_in(date.time_zone);
  const from = add_days(today, -day_count);
  const [page, before] = await Promise.all([
    api.whole_list(view.name, { ...key, [`${date.name}.from`]: from, [`${date.name}.to`]: today }),
    api.row(view.name, [...values, add_days(from, -1)]),
  ]);
  if (before) rows.set(add_days(from, -1), before.body);
  for (const row of page.rows) rows.set(row[date.name], row);
  return { rows, age_ms: page.age_ms };
}

// Of two states of a row, each undefined when there is none. Times have one form, which compares as text.
const is_newer = (row, other) => row !== undefined && (other === undefined || row.updated_at > other.updated_at);

function on_row(row) {
  const { view, rows } = shown;
  const date = date_column(view);
  const day = date ? row[date.name] : "";
  const former = rows.get(day);
  shown.came?.set(day, row);
  if (is_newer(former, row)) return;  // it was read when more was known
  if (date && day < add_days(today_in(date.time_zone), -day_count)) return reload_soon();  // the level before the chart
  rows.set(day, row);
  say_state();
  const changed = new Set();
  if (!date || day === today_in(date.time_zone)) {
    for (const column of view.columns) if (!is_same(column, former, row)) changed.add(column.name);
  }
  draw(changed);
  beat();
  announce(view.columns.filter(({ name }) => changed.has(name)).map((column) => `${words(column.name)} is now ${text_of(column, row[column.name])}`).join(", "));
}

function on_gone(key) {
  const date = date_column(shown.view);
  const day = date ? key[date.name] : "";
  shown.came?.set(day, null);
  if (!shown.rows.delete(day)) return;
  say_state();
  draw();
  beat();
}

function beat() {
  const live = find("live");
  live.classList.remove("beat");
  void live.offsetWidth;  // begins the animation anew
  live.classList.add("beat");
}

let announced_at = 0;
function announce(text) {  // to screen readers: at most every 5 s
  if (!text || Date.now() - announced_at < 5000) return;
  announced_at = Date.now();
  find("announce").textContent = text;
}

// Says why there is nothing to see, if so.
function say_state() {
  if (shown.rows.size > 0) shown.was_there = true;
  say(shown.rows.size > 0 ? "" : shown.was_there ? "This row is gone: it has been deleted. It appears here again if it comes back."
    : "Nothing is known of this key yet. It appears here when its first event comes.");
}

// Reads all again. What was read may be older than what is on the screen, or comes meanwhile: of each row the newer
// state stays; what came meanwhile counts (null: it is gone), and so does that a row was not found where rows can be
// deleted. `forget`: not those from before: the database may have fallen back behind them.
let reloading = false;
let again = false;  // what is being read may be too old by now
let forgets = false;
async function reload_soon(forget = false) {
  again = true;
  forgets ||= forget;
  if (reloading) return;
  reloading = true;
  while (again) {
    const asked = shown;
    asked.came = new Map();
    const former = forgets ? [] : [...asked.rows];
    again = forgets = false;
    try {
      const { rows, age_ms } = await load(asked.view, asked.key);
      if (shown !== asked) continue;
      for (const [day, row] of former) {
        if (is_newer(row, rows.get(day)) && (rows.has(day) || asked.view.kind === "summary")) rows.set(day, row);
      }
      for (const [day, row] of asked.came) {
        if (row === null) rows.delete(day);
        else if (is_newer(row, rows.get(day))) rows.set(day, row);
      }
      asked.rows = rows;
      say_state();
      set_fresh(age_ms);
      draw();
    } catch (problem) {
      if (shown !== asked) continue;
      if (problem.status) say(problem.message);
      if (problem.status >= 500) {
        await new Promise((resolve) => setTimeout(resolve, 1000));
        again = true;
      }
    }
  }
  reloading = false;
}

async function show(view, key) {
  shown?.stop.abort();
  shown = { view, key, rows: new Map(), stop: new AbortController() };
  const mine = shown;
  say();
  try {
    const { rows, age_ms } = await load(view, key);
    if (shown !== mine) return;
    mine.rows = rows;
    set_fresh(age_ms);
    find("figures").hidden = false;
    find("history").hidden = !date_column(view);
    find("charts").replaceChildren();
    say_state();
    draw();
  } catch (problem) {
    if (shown !== mine) return;
    if (await signed_in(problem)) return show(view, key);
    find("figures").hidden = find("history").hidden = true;
    return say(problem.message);
  }
  let was_lost = false;
  api.follow(view.name, key, mine.stop.signal, (name, data) => {
    if (shown !== mine) return;
    if (name === "row") on_row(api.parse(data));
    if (name === "gone") on_gone(api.parse(data));
    if (name === "reset") reload_soon(JSON.parse(data).reason === "reload");
  }, (live) => {
    if (shown !== mine) return;
    set_live(live ? "live" : "lost", live ? "Live" : "Connecting again…");
    if (live && was_lost) reload_soon();
    was_lost = !live;
  }).catch(async (problem) => {  // the token is not taken any more
    if (shown !== mine) return;
    set_live("lost", "Not connected");
    if (await signed_in(problem)) return show(view, key);
    say(problem.message);
  });
}

// ---- start ----

function remember(view, key) {
  const address = new URL(location.href);
  address.search = new URLSearchParams({ view: view.name, ...key });
  history.replaceState(null, "", address);
}

function pick_theme() {
  const stored = localStorage.getItem("daybook-theme");
  const dark = stored ? stored === "dark" : matchMedia("(prefers-color-scheme: dark)").matches;
  document.documentElement.dataset.theme = dark ? "dark" : "light";
}

async function start() {
  const asked = Object.fromEntries(new URLSearchParams(location.search));
  try {
    views = await api.view_list();
    say();
    if (views.length === 0) return say("There is no view yet. `daybook views apply` makes one.");
    find("view").replaceChildren(...views.map((view) => make("option", { value: view.name }, words(view.name))));
    const first = views.find((view) => date_column(view) && view.columns.some(is_number)) ?? views[0];
    find("view").value = views.some((view) => view.name === asked.view) ? asked.view : first.name;
    await show_keys(chosen_view(), asked);
  } catch (problem) {
    if (await signed_in(problem)) return start();
    set_live("lost", "Not connected");
    say(problem.message);
    if (problem.status === 0 || problem.status >= 500) setTimeout(start, 2000);
    return;
  }
  if (entity_columns(chosen_view()).every((column) => chosen_key(chosen_view())[column.name])) {
    remember(chosen_view(), chosen_key(chosen_view()));
    await show(chosen_view(), chosen_key(chosen_view()));
  } else {
    say("This view has no rows yet.");
  }
}

find("view").addEventListener("change", () => show_keys(chosen_view(), {}).catch((problem) => say(problem.message)));
find("choice").addEventListener("submit", (event) => {
  event.preventDefault();
  remember(chosen_view(), chosen_key(chosen_view()));
  show(chosen_view(), chosen_key(chosen_view()));
});
find("theme").addEventListener("click", () => {
  localStorage.setItem("daybook-theme", document.documentElement.dataset.theme === "dark" ? "light" : "dark");
  pick_theme();
});
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", pick_theme);
// The age that the reader guarantees, and the day, go on without events.
setInterval(async () => {
  if (!shown || document.hidden) return;
  try {
    const { age_ms } = await api.list(shown.view.name, { ...shown.key, limit: 1 });
    set_fresh(age_ms);
    if (find("live").dataset.state === "live") draw();
  } catch { /* the change events tell that the reader is away */ }
}, 10_000);
pick_theme();
start();
