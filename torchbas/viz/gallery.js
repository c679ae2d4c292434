"use strict";
const data = JSON.parse(document.getElementById("data").textContent);
const { classes, photos, maps, cards, scale: stops } = data;
const page = document.body.dataset;
const grid = document.getElementById("grid");
const search = document.getElementById("search");
const order = document.getElementById("order");
const viewer = document.getElementById("viewer");
const CHUNK = 24;
const hasCam = maps.some((map) => map.cam), hasTruth = cards.some((card) => card.iou !== null);
const percent = (value) => `${(100 * value).toFixed(0)} %`;
const chosen = new Set();
// A photo whose tags nobody knows has a card of any tag: the first, until a box is drawn or another is chosen.
for (const card of cards) if (card.tag === null) Object.assign(card, { tag: 0, any: true });
let shown = [], drawn = 0, current = 0;

// Text only ever enters the page as text.
function make(name, attributes = {}, ...children) {
  const element = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
  element.append(...children);
  return element;
}

function shape(name, attributes) {
  const element = document.createElementNS("http://www.w3.org/2000/svg", name);
  for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
  return element;
}

function picture(card) {
  const photo = photos[card.photo];
  if (!photo.src) return make("p", {}, photo.problem);
  const { width, height } = photo, { name, color } = classes[card.tag];
  const full = { width, height, preserveAspectRatio: "none" };
  const label = { role: "img", "aria-label": `${name} in ${photo.name}` };
  const drawing = shape("svg", { viewBox: `0 0 ${width} ${height}`, ...label });
  drawing.append(shape("image", { ...full, href: photo.src }));
  for (const [layer, href] of Object.entries(maps[card.maps] ?? {}))
    if (href) drawing.append(shape("image", { ...full, class: layer, href }));
  if (card.mask && ["", "right"].includes(reviewState(card)))
    drawing.append(shape("path", { class: "mask", d: card.mask, fill: color, stroke: color }));
  const truth = shape("g", { class: "truth" });
  for (const one of card.ground_truth) truth.append(rectangle(one), rectangle(one));
  const boxes = !reviewState(card) && card.box ? [card.box] : boxesOf(card).map((one) => one.box);
  drawing.append(truth, boxGroup(card, boxes));
  return drawing;
}

// The boxes, the chosen one with its corners.
function boxGroup(card, boxes, chosenBox = -1) {
  const { color } = classes[card.tag], group = shape("g", { class: "box" });
  boxes.forEach((box, n) => {
    group.append(rectangle(box, { class: "edge" }), rectangle(box, { stroke: color }));
    if (n !== chosenBox) return;
    for (const x of [box[0], box[2]]) for (const y of [box[1], box[3]])
      group.append(shape("path", { class: "corner", d: `M${x} ${y}h0`, stroke: color }));
  });
  return group;
}

function rectangle([x0, y0, x1, y1], attributes = {}) {
  return shape("rect", { x: x0, y: y0, width: x1 - x0, height: y1 - y0, ...attributes });
}

function scale(threshold) {
  const bar = make("div", { class: "scale" }, make("i"));
  bar.style.setProperty("--scale", `linear-gradient(90deg, ${stops})`);
  bar.style.setProperty("--level", threshold);
  return bar;
}

function number(label, value) {
  return make("span", {}, label, make("b", {}, value.toFixed(2)));
}

function tagName(card) {
  return card.any && !boxesOf(card).length ? "No tag known" : classes[card.tag].name;
}

function cardElement(card, index) {
  const name = tagName(card), { color } = classes[card.tag], file = photos[card.photo].name;
  const element = make("button", { class: "card", type: "button", "data-index": index, "data-photo": card.photo });
  element.title = `${name}\n${file}`;
  element.dataset.reviewState = reviewState(card);
  const stage = make("div", { class: "stage" }, picture(card)), level = make("i");
  const dot = make("i");
  dot.style.setProperty("--tag", color);
  level.style.setProperty("--level", card.score ?? 0);
  const numbers = make("div", { class: "numbers" });
  if (card.box) numbers.append(number("Confidence", card.confidence), number("Evidence left", card.bas_ratio));
  else numbers.append(make("span", {}, "Nothing found", make("b", {}, correctionOf(card) ? "\u00a0" : "Draw it")));
  if (card.iou !== null) numbers.append(number("IoU", card.iou));
  element.append(stage, make("div", { class: "text" },
    make("div", { class: "tag", "data-review-state": reviewState(card) },
      dot, make("span", {}, name), make("b", {}, card.box ? percent(card.score) : "")),
    make("div", { class: "level" }, level), numbers,
    make("div", { class: "file" }, make("bdi", {}, file))));
  return element;
}

const collator = new Intl.Collator(undefined, { numeric: true });
const upwards = (value) => (a, b) => value(a) - value(b);
const ORDERS = {
  "Most useful first": upwards((card) => card.rank + (correctionOf(card) ? cards.length : 0)),
  "Least certain first": upwards((card) => card.score ?? -1),
  "Most certain first": upwards((card) => -(card.score ?? -1)),
  "Least confident first": upwards((card) => card.confidence ?? -1),
  "Most evidence left first": upwards((card) => -(card.bas_ratio ?? 2)),
  ...(hasTruth && { "Lowest IoU first": upwards((card) => card.iou ?? 2) }),
  "By tag": (a, b) => a.tag - b.tag || (a.score ?? -1) - (b.score ?? -1),
  "By file": (a, b) => collator.compare(photos[a.photo].name, photos[b.photo].name),
};

function refresh() {
  const words = search.value.toLowerCase().split(/\s+/).filter(Boolean);
  const matches = (card) => {
    const text = `${tagName(card)} ${photos[card.photo].name}`.toLowerCase();
    return (!chosen.size || (chosen.has(card.tag) && !card.any)) && words.every((word) => text.includes(word));
  };
  shown = cards.filter(matches).sort(ORDERS[order.value]);
  drawn = 0;
  grid.replaceChildren();
  drawMore();
  document.getElementById("status").textContent = `${shown.length} of ${cards.length} cards`;
  for (const chip of document.querySelectorAll("#chips button")) {
    const tag = chip.dataset.tag;
    chip.setAttribute("aria-pressed", tag === undefined ? !chosen.size : chosen.has(Number(tag)));
  }
}

function drawMore() {
  const next = shown.slice(drawn, drawn + CHUNK).map((card, n) => cardElement(card, drawn + n));
  drawn += next.length;
  grid.append(...next);
}

function chips() {
  const counts = new Map();
  for (const card of cards) if (!card.any) counts.set(card.tag, (counts.get(card.tag) ?? 0) + 1);
  const all = make("button", { type: "button" }, make("span", {}, "All"), make("b", {}, `${cards.length}`));
  all.addEventListener("click", () => { chosen.clear(); refresh(); });
  const rest = classes.map(({ name, color }, tag) => {
    const dot = make("i"), count = counts.get(tag) ?? 0;
    dot.style.setProperty("--tag", color);
    const chip = make("button", { type: "button", "data-tag": tag, title: name });
    chip.append(dot, make("span", {}, name), make("b", {}, `${count}`));
    chip.disabled = !count;
    chip.addEventListener("click", () => { if (!chosen.delete(tag)) chosen.add(tag); refresh(); });
    return chip;
  });
  rest.sort((a, b) => a.disabled - b.disabled);
  document.getElementById("chips").append(all, ...rest);
}

const HEATS = [["none", "Photo", "1"], ["bas", "BAS map", "2"], ...(hasCam ? [["cam", "CAM", "3"]] : [])];
const MARKS = [["mask", "Mask", "m"], ["box", "Box", "b"], ...(hasTruth ? [["truth", "True box", "t"]] : [])];

function layers() {
  for (const place of document.querySelectorAll(".layers")) {
    for (const group of [HEATS, MARKS]) {
      const segment = make("div", { class: "segment" });
      for (const [layer, label, key] of group) {
        const button = make("button", { type: "button", "data-layer": layer }, label);
        button.title = `Key ${key.toUpperCase()}`;
        button.addEventListener("click", () => choose(layer));
        segment.append(button);
      }
      place.append(segment);
    }
  }
  press();
}

function choose(layer) {
  if (layer in page) page[layer] = page[layer] === "on" ? "off" : "on";
  else page.heat = layer;
  press();
}

function press() {
  const visible = (layer) => (layer in page ? page[layer] === "on" : page.heat === layer);
  for (const button of document.querySelectorAll(".segment button"))
    button.setAttribute("aria-pressed", visible(button.dataset.layer));
}

function enlarge(index) {
  const next = (index + shown.length) % shown.length;
  if (next !== current || !viewer.open) [selected, view] = [-1, null];
  current = next;
  const card = shown[current], photo = photos[card.photo], boxes = boxesOf(card).map((one) => one.box);
  viewer.querySelector(".stage").replaceChildren(picture(card));
  viewer.querySelector("g.box")?.replaceWith(boxGroup(card, boxes, selected));
  showPart(view?.x ?? 0, view?.y ?? 0, view?.width ?? Infinity);
  tagChoice.value = card.tag;
  document.getElementById("viewer-title").textContent = tagName(card);
  document.getElementById("place").textContent = `${current + 1} of ${shown.length}`;
  const facts = card.box ? [["Score", percent(card.score)], ["Confidence", card.confidence.toFixed(3)],
    ["Evidence left", card.bas_ratio.toFixed(3)], ["Map of", card.method],
    [`Object where the map is above ${card.threshold.toFixed(2)}`, scale(card.threshold)]]
    : [["Nothing found", "Draw a box around each, or press X where there is none"]];
  if (card.iou !== null) facts.splice(1, 0, ["IoU with a true box", card.iou.toFixed(3)]);
  facts.push([["Box", reviewState(card)].filter(Boolean).join(", "),
    boxes.map((box) => box.map(Math.round).join(" ")).join(", ") || "none"],
  ["Size of the photo", `${photo.width} × ${photo.height}`],
  ["File", photo.name]);
  const line = ([key, value]) => make("div", {}, make("dt", {}, key), make("dd", {}, value));
  viewer.querySelector(".facts").replaceChildren(...facts.map(line));
  if (!viewer.open) viewer.showModal();
}

function move(key) {
  const columns = getComputedStyle(grid).gridTemplateColumns.split(" ").length;
  const step = { ArrowLeft: -1, ArrowRight: 1, ArrowUp: -columns, ArrowDown: columns }[key];
  const at = document.activeElement.closest(".card");
  if (!step || (!at && document.activeElement !== document.body)) return false;
  const target = grid.children[at ? Number(at.dataset.index) + step : 0];
  target?.focus();
  return Boolean(target);
}

document.addEventListener("keydown", (event) => {
  if (event.target.matches("input, select")) return;
  if (editKey(event)) return event.preventDefault();
  if (event.ctrlKey || event.metaKey || event.altKey) return;
  const key = event.key.toLowerCase();
  const step = { arrowleft: -1, arrowright: 1 }[key], layer = [...HEATS, ...MARKS].find((one) => one[2] === key);
  if (layer) choose(layer[0]);
  else if (viewer.open && step) enlarge(current + step);
  else if (!viewer.open && key === "/") search.focus();
  else if (viewer.open || !move(event.key)) return;
  event.preventDefault();
});
grid.addEventListener("click", (event) => {
  const card = event.target.closest(".card");
  if (card) enlarge(Number(card.dataset.index));
});
viewer.addEventListener("click", (event) => {
  const button = event.target.closest("button");
  if (event.target === viewer || button?.dataset.close !== undefined) viewer.close();
  else if (button?.dataset.step) enlarge(current + Number(button.dataset.step));
});
viewer.addEventListener("close", () => grid.children[current]?.focus());
search.addEventListener("input", refresh);
order.addEventListener("change", refresh);
// Observing again reports at once, so a tall window keeps asking until it is full.
const watcher = new IntersectionObserver(([entry]) => {
  if (!entry.isIntersecting || drawn >= shown.length) return;
  drawMore();
  watcher.unobserve(entry.target);
  watcher.observe(entry.target);
}, { rootMargin: "800px" });

function begin() {
  order.append(...Object.keys(ORDERS).map((label) => make("option", {}, label)));
  document.body.classList.toggle("no-cam", !hasCam);
  document.body.classList.toggle("no-truth", !hasTruth);
  chips();
  layers();
  refresh();
  watcher.observe(document.getElementById("more"));
}
