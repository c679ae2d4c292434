// Editing: by mouse in the viewer, by keyboard there and on the cards.
const stage = viewer.querySelector(".stage"), tagChoice = document.getElementById("tag");
let selected = -1, grip = null, view = null;

function redraw(contents) {
  const changed = new Set(contents.flatMap((content) => places.get(content)));
  for (const element of [...grid.children].filter(({ dataset }) => changed.has(Number(dataset.photo)))) {
    const index = Number(element.dataset.index), again = cardElement(shown[index], index);
    const focused = element === document.activeElement;
    element.replaceWith(again);
    if (focused) again.focus();
  }
  if (viewer.open && changed.has(shown[current].photo)) enlarge(current);
  count();
}

function correct(card, boxes) {
  const tags = card.any && !boxes.length ? [...names] : [classes[card.tag].name];
  change(card.photo, new Map(tags.map((tag) => [tag, boxes])));
}

function replaced(card, index, box, how = "moved") {
  const boxes = seen(boxesOf(card));
  boxes[index] = { box, how: boxes[index]?.how === "drawn" ? "drawn" : how };
  correct(card, boxes);
}

function retag(card, index, tag) {
  if (tag === card.tag) return;
  const { box } = boxesOf(card)[index], left = boxesOf(card).filter((_, n) => n !== index);
  const there = boxesOf({ photo: card.photo, tag });
  // A photo of no known tag says nothing of the one that its box was drawn with.
  const before = card.any && !left.length ? undefined : seen(left);
  change(card.photo, new Map([[classes[card.tag].name, before],
    [classes[tag].name, [...seen(there), { box, how: "drawn" }]]]));
  settle(photos[card.photo].sha256);
  redraw([photos[card.photo].sha256]);
}

function count() {
  const done = cards.filter(correctionOf).length;
  const button = document.getElementById("save");
  button.textContent = done ? `Save corrections (${done})` : "Save corrections";
  button.disabled = ![...corrections.values()].some((tags) => tags.size);
  document.getElementById("kept").hidden = keeps;
}

// Editing in the viewer. A grip is a box and which of its edges follow the pointer: left, right, top, bottom.
function gripAt(point, reach) {
  const boxes = boxesOf(shown[current]);
  const order = boxes.map((_, n) => n).sort((a, b) => (b === selected) - (a === selected));
  for (const n of order) {
    const [x0, y0, x1, y1] = boxes[n].box;
    if (point.x < x0 - reach || point.x > x1 + reach || point.y < y0 - reach || point.y > y1 + reach) continue;
    const near = (value, edge) => Number(Math.abs(value - edge) <= reach);
    const [left, top] = [near(point.x, x0), near(point.y, y0)];
    const edges = [left, left ? 0 : near(point.x, x1), top, top ? 0 : near(point.y, y1)];
    return { index: n, box: boxes[n].box, edges: edges.some(Boolean) ? edges : [1, 1, 1, 1] };
  }
  return { index: boxes.length, box: [point.x, point.y, point.x, point.y], edges: [0, 1, 0, 1], how: "drawn" };
}

// The box with some edges moved; all four together keep its size. Never outside the photo, never without an area.
function pulled({ box: [x0, y0, x1, y1], edges: [left, right, top, bottom] }, dx, dy, { width, height }) {
  const whole = left && right && top && bottom, within = (value, low, high) => Math.min(Math.max(value, low), high);
  if (whole) [dx, dy] = [within(dx, -x0, width - x1), within(dy, -y0, height - y1)];
  const span = (low, high, most) => {
    const [a, b] = [low, high].sort((one, other) => one - other).map((value) => within(Math.round(value), 0, most));
    return b > a ? [a, b] : a < most ? [a, a + 1] : [most - 1, most];
  };
  const [a, b] = span(x0 + left * dx, x1 + right * dx, width), [c, d] = span(y0 + top * dy, y1 + bottom * dy, height);
  return [a, c, b, d];
}

function pointAt(event) {
  const drawing = stage.querySelector("svg");
  return new DOMPoint(event.clientX, event.clientY).matrixTransform(drawing.getScreenCTM().inverse());
}

stage.addEventListener("pointerdown", (event) => {
  const drawing = stage.querySelector("svg");
  if (!drawing || event.button) return;
  const from = pointAt(event);
  if (event.shiftKey) grip = { from, pan: drawing.viewBox.baseVal };
  else grip = { ...gripAt(from, 8 / drawing.getScreenCTM().a), from };
  if (!grip.pan) selected = grip.index;
  stage.setPointerCapture(event.pointerId);
  event.preventDefault();
});
stage.addEventListener("pointermove", (event) => {
  if (!grip) return;
  const to = pointAt(event), photo = photos[shown[current].photo];
  if (grip.pan) showPart(view.x + grip.from.x - to.x, view.y + grip.from.y - to.y, view.width);
  else {
    grip.now = pulled(grip, to.x - grip.from.x, to.y - grip.from.y, photo);
    const boxes = boxesOf(shown[current]).map((one) => one.box);
    boxes[grip.index] = grip.now;
    stage.querySelector("g.box").replaceWith(boxGroup(shown[current], boxes, selected));
  }
});
stage.addEventListener("pointerup", (event) => {
  const { index, box, now, pan, how } = grip ?? {}, card = shown[current];
  grip = null;
  if (pan) return;
  const large = now && (now[2] - now[0]) * (now[3] - now[1]) >= 9;  // else it was a click
  if (large && `${now}` !== `${box}`) replaced(card, index, now, how);
  else if (how) selected = -1;
  enlarge(current);
  event.preventDefault();
});
stage.addEventListener("wheel", (event) => {
  if (!stage.querySelector("svg")) return;
  const at = pointAt(event), factor = event.deltaY < 0 ? 0.8 : 1.25;
  showPart(at.x + (view.x - at.x) * factor, at.y + (view.y - at.y) * factor, view.width * factor);
  event.preventDefault();
}, { passive: false });

// Shows a part of the photo, from x, y on.
function showPart(x, y, width) {
  const photo = photos[shown[current].photo];
  width = Math.min(Math.max(width, 24), photo.width);
  const height = width * photo.height / photo.width, within = (value, most) => Math.min(Math.max(value, 0), most);
  view = { x: within(x, photo.width - width), y: within(y, photo.height - height), width, height };
  stage.querySelector("svg")?.setAttribute("viewBox", `${view.x} ${view.y} ${view.width} ${view.height}`);
}

function nudge(key, size) {
  const card = shown[current], boxes = boxesOf(card), photo = photos[card.photo];
  const step = Math.max(1, Math.round(Math.max(photo.width, photo.height) / 100));
  const by = { ArrowLeft: [-step, 0], ArrowRight: [step, 0], ArrowUp: [0, -step], ArrowDown: [0, step] }[key];
  if (!by || !boxes.length) return;
  selected = boxes[selected] ? selected : 0;
  const edges = size ? [0, 1, 0, 1] : [1, 1, 1, 1];
  replaced(card, selected, pulled({ box: boxes[selected].box, edges }, ...by, photo));
}

function addBox(card) {
  const { width, height } = photos[card.photo];
  selected = boxesOf(card).length;
  replaced(card, selected, [width / 4, height / 4, 3 * width / 4, 3 * height / 4].map(Math.round), "drawn");
}

function removeBox(card) {
  const boxes = boxesOf(card), index = boxes[selected] ? selected : 0;
  selected = -1;
  if (!boxes.length) return;
  correct(card, seen(boxes.filter((_, n) => n !== index)));
}

const EDITS = {
  y: (card) => { correct(card, seen(boxesOf(card))); onwards(); },
  x: (card) => { correct(card, []); onwards(); },
  n: addBox,
  delete: removeBox,
  backspace: removeBox,
  o: (card) => { selected = (selected + 1) % Math.max(boxesOf(card).length, 1); enlarge(current); },
  g: () => tagChoice.focus(),
  0: () => showPart(0, 0, Infinity),
};

// To the next card that is not corrected yet.
function onwards() {
  const ahead = [...shown.keys()].map((n) => (current + 1 + n) % shown.length);
  const next = ahead.find((index) => !correctionOf(shown[index])) ?? current;
  if (viewer.open) return enlarge(next);
  while (drawn <= next) drawMore();
  grid.children[next].focus();
}

// Whether a key was one of ours.
function editKey(event) {
  const key = event.key.toLowerCase(), at = document.activeElement.closest(".card");
  if ((event.ctrlKey || event.metaKey) && key === "z") undo();
  else if (viewer.open && key.startsWith("arrow") && (event.shiftKey || event.ctrlKey)) nudge(event.key, event.ctrlKey);
  else if (event.ctrlKey || event.metaKey || event.altKey) return false;
  else if (key === "z") undo();
  else if (key === "s") save();
  else if (viewer.open && EDITS[key]) EDITS[key](shown[current]);
  else if (at && "xy".includes(key)) {
    current = Number(at.dataset.index);
    EDITS[key](shown[current]);
  } else return false;
  return true;
}

tagChoice.append(...classes.map(({ name }, n) => make("option", { value: n }, name)));
tagChoice.addEventListener("change", () => {
  const card = shown[current], boxes = boxesOf(card), index = boxes[selected] ? selected : 0;
  if (boxes.length) retag(card, index, Number(tagChoice.value));
  else if (card.any) card.tag = Number(tagChoice.value);
  tagChoice.blur();
});
document.getElementById("save").addEventListener("click", save);
document.getElementById("edits").addEventListener("click", (event) => {
  const key = event.target.closest("button")?.dataset.key;
  if (key === "z") undo();
  else if (key) EDITS[key](shown[current]);
});

begin();
count();
recall().then(() => { if (corrections.size && !viewer.open) refresh(); });
