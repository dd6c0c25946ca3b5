// Civil days as text, YYYY-MM-DD, and a series without holes. Pure.

export const today_in = (time_zone) =>
  new Intl.DateTimeFormat("en-CA", { timeZone: time_zone, year: "numeric", month: "2-digit", day: "2-digit" }).format(new Date());

export function add_days(day, count) {
  const date = new Date(`${day}T00:00:00Z`);
  date.setUTCDate(date.getUTCDate() + count);
  return date.toISOString().slice(0, 10);
}

export const long_day = (day) =>
  new Intl.DateTimeFormat(undefined, { timeZone: "UTC", weekday: "short", day: "numeric", month: "short" }).format(new Date(`${day}T00:00:00Z`));
export const short_day = (day) =>
  new Intl.DateTimeFormat(undefined, { timeZone: "UTC", day: "numeric", month: "short" }).format(new Date(`${day}T00:00:00Z`));

// The value of a column on each of `count` days up to `last`. A day without a row has the level of the day before where
// the column is a balance, zero where it is a flow, and else no value: null. `rows`: day -> row, with one before the first day if there is any.
export function series(rows, column, last, count) {
  const first = add_days(last, 1 - count);
  const before = [...rows.keys()].filter((day) => day < first).sort().pop();
  let level = before === undefined ? 0 : rows.get(before)[column.name];
  const without = ["sum", "count", "distinct"].includes(column.value) ? 0 : null;
  const values = [];
  for (let i = 0; i < count; ++i) {
    const day = add_days(first, i);
    const row = rows.get(day);
    const value = row ? row[column.name] : column.value === "balance" ? level : without;
    if (column.value === "balance") level = value;
    values.push({ day, value });
  }
  return values;
}
