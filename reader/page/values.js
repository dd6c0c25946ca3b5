// Values as text, by the type of their column. Pure.

const number_types = new Set(["int", "bigint", "decimal"]);
const time_types = new Set(["timestamp", "hour", "minute"]);
const nothing = "–";

export const is_number = (column) => number_types.has(column.type);
export const is_time = (column) => column.type === "date" || time_types.has(column.type);

// Numbers with more digits than JavaScript's have come as their text (api.js); Intl.NumberFormat keeps all of them.
export const plain = (value) => value?.rawJSON ?? value;

const formats = new Map();
function number_format(column, more) {
  const digits = column.scale ?? 0;
  const name = `${digits} ${more.signDisplay}`;
  if (!formats.has(name)) {
    formats.set(name, new Intl.NumberFormat(undefined, { minimumFractionDigits: digits, maximumFractionDigits: digits, ...more }));
  }
  return formats.get(name);
}
export const number_text = (column, value, more = {}) => number_format(column, more).format(plain(value));

const date_format = new Intl.DateTimeFormat(undefined, { dateStyle: "medium", timeZone: "UTC" });
const time_format = new Intl.DateTimeFormat(undefined, { dateStyle: "medium", timeStyle: "medium" });
function time_text(format, value) {
  const time = new Date(value);
  return isNaN(time) ? value : format.format(time);
}

export function text_of(column, value) {
  if (value === null || value === undefined) return nothing;
  if (is_number(column)) return number_text(column, value);
  if (column.type === "boolean") return value ? "yes" : "no";
  if (column.type === "date") return time_text(date_format, value);
  if (is_time(column)) return time_text(time_format, value);
  if (column.type === "json") return JSON.stringify(value);
  return String(value);
}

// Whether two rows have the same in this column.
export const is_same = (column, one, other) => JSON.stringify(one?.[column.name]) === JSON.stringify(other?.[column.name]);
