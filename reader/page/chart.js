// A small chart of one column of numbers over days: a stepped level for balances, else bars. Pointer, touch and arrow keys
// move a cursor that tells the day's value.
import { long_day, short_day } from "./days.js";
import { plain } from "./values.js";

const space = "http://www.w3.org/2000/svg";
const width = 360, height = 150, left = 44, right = 6, top = 8, bottom = 22;
const compact = new Intl.NumberFormat(undefined, { notation: "compact" });

function element(name, attributes, text) {
  const made = document.createElementNS(space, name);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  if (text !== undefined) made.textContent = text;
  return made;
}

// Round marks that hold the values, zero among them; `least` lies between two.
function marks_of(values, least) {
  const low = Math.min(0, ...values), high = Math.max(0, ...values);
  const rough = Math.max((high - low) / 3, least);
  const unit = 10 ** Math.floor(Math.log10(rough));
  const step = [1, 2, 5, 10].map((n) => n * unit).find((n) => n >= rough) ?? 10 * unit;
  const marks = [];
  for (let at = Math.floor(low / step); at <= Math.ceil(high / step); ++at) marks.push(at * step);
  return marks.length > 1 ? marks : [0, step];
}

// Draws `points` ([{day, value}], `value` null where there is none) into `figure`, a <figure> with an <h3> and a
// <p class="at">; again at any time. `text`: what a value is to people, `least`: the step between two values.
export function draw_chart(figure, all, { title, is_level, text, least }) {
  const points = all.map(({ day, value }) => ({ day, value: value === null ? null : Number(plain(value)), text: text(value) }));
  const known = points.filter((point) => point.value !== null);
  const marks = marks_of(known.map((point) => point.value), least);
  const low = marks[0], high = marks[marks.length - 1];
  const slot = (width - left - right) / points.length;
  const x = (i) => left + i * slot;
  const y = (value) => top + (height - top - bottom) * (1 - (value - low) / (high - low));

  const last = points[points.length - 1];
  const svg = element("svg", {
    viewBox: `0 0 ${width} ${height}`, role: "img", tabindex: "0",
    "aria-label": `${title} from ${long_day(points[0].day)} to ${long_day(last.day)}: ` +
      (known.length === 0 ? "no values. " : `lowest ${text(Math.min(...known.map((p) => p.value)))}, ` +
        `highest ${text(Math.max(...known.map((p) => p.value)))}, last ${last.text}. `) +
      "Left and right arrow keys read each day.",
  });
  for (const mark of marks) {
    svg.append(element("line", { class: "grid", x1: left, x2: width - right, y1: y(mark), y2: y(mark) }));
    svg.append(element("text", { x: left - 6, y: y(mark) + 4, "text-anchor": "end" }, compact.format(mark)));
  }
  for (let i = (points.length - 1) % 7; i < points.length; i += 7) {
    const is_last = i === points.length - 1;
    svg.append(element("text", { x: is_last ? width - right : x(i), y: height - 6, "text-anchor": is_last ? "end" : "start" }, short_day(points[i].day)));
  }
  if (is_level) {
    const line = points.map((p, i) => `${x(i)},${y(p.value)} ${x(i + 1)},${y(p.value)}`).join(" ");
    svg.append(element("polygon", { class: "area", points: `${x(0)},${y(0)} ${line} ${x(points.length)},${y(0)}` }));
    svg.append(element("polyline", { class: "level", points: line }));
  } else {
    points.forEach((p, i) => p.value !== null && svg.append(element("rect", {
      class: "bar", x: x(i) + slot * 0.15, width: slot * 0.7, rx: 1.5,
      y: Math.min(y(p.value), y(0)), height: Math.abs(y(p.value) - y(0)),
    })));
  }
  const cursor = element("line", { class: "cursor", y1: top, y2: height - bottom, visibility: "hidden" });
  svg.append(cursor);

  const told = figure.querySelector(".at");
  let at = points.length - 1;
  const tell = (i, by_person) => {
    at = Math.max(0, Math.min(points.length - 1, i));
    const middle = x(at) + slot / 2;
    cursor.setAttribute("x1", middle);
    cursor.setAttribute("x2", middle);
    cursor.setAttribute("visibility", by_person ? "visible" : "hidden");
    told.textContent = `${long_day(points[at].day)}: ${points[at].text}`;
  };
  const at_pointer = (event) => {
    const box = svg.getBoundingClientRect();
    tell(Math.floor(((event.clientX - box.left) / box.width * width - left) / slot), true);
  };
  svg.addEventListener("pointermove", at_pointer);
  svg.addEventListener("pointerdown", at_pointer);
  svg.addEventListener("pointerleave", () => tell(points.length - 1, false));
  svg.addEventListener("keydown", (event) => {
    const to = { ArrowLeft: at - 1, ArrowRight: at + 1, Home: 0, End: points.length - 1 }[event.key];
    if (to === undefined) return;
    event.preventDefault();
    tell(to, true);
  });

  // Somebody who reads the chart keeps the place when a change draws it again.
  const former = figure.querySelector("svg");
  const had_focus = former !== null && former === document.activeElement;
  if (former) former.replaceWith(svg); else told.before(svg);
  tell(points.length - 1, false);
  if (had_focus) svg.focus();
}
