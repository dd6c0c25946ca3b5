// A small chart of one column over days: a stepped level for balances, bars for flows. Pointer, touch and arrow keys
// move a cursor that tells the day's value.
import { long_day, short_day } from "./days.js";

const space = "http://www.w3.org/2000/svg";
const width = 360, height = 150, left = 44, right = 6, top = 8, bottom = 22;
const format = new Intl.NumberFormat();
const compact = new Intl.NumberFormat(undefined, { notation: "compact" });

function element(name, attributes, text) {
  const made = document.createElementNS(space, name);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  if (text !== undefined) made.textContent = text;
  return made;
}

// Round marks that hold the values, zero among them.
function marks_of(values) {
  const low = Math.min(0, ...values), high = Math.max(0, ...values);
  const rough = Math.max((high - low) / 3, 1);
  const unit = 10 ** Math.floor(Math.log10(rough));
  const step = [1, 2, 5, 10].map((n) => n * unit).find((n) => n >= rough);
  const marks = [];
  for (let at = Math.floor(low / step); at <= Math.ceil(high / step); ++at) marks.push(at * step);
  return marks.length > 1 ? marks : [0, step];
}

// Draws `points` ([{day, value}]) into `figure`, a <figure> with an <h3> and a <p class="at">; again at any time.
export function draw_chart(figure, points, { title, is_level }) {
  const marks = marks_of(points.map((point) => point.value));
  const low = marks[0], high = marks[marks.length - 1];
  const slot = (width - left - right) / points.length;
  const x = (i) => left + i * slot;
  const y = (value) => top + (height - top - bottom) * (1 - (value - low) / (high - low));

  const last = points[points.length - 1];
  const svg = element("svg", {
    viewBox: `0 0 ${width} ${height}`, role: "img", tabindex: "0",
    "aria-label": `${title} from ${long_day(points[0].day)} to ${long_day(last.day)}: ` +
      `lowest ${format.format(Math.min(...points.map((p) => p.value)))}, ` +
      `highest ${format.format(Math.max(...points.map((p) => p.value)))}, last ${format.format(last.value)}. ` +
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
    points.forEach((p, i) => svg.append(element("rect", {
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
    told.textContent = `${long_day(points[at].day)}: ${format.format(points[at].value)}`;
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
