// Corrections: the boxes of a tag in a photo as the user wants them; none is "nothing here". The browser keeps them by
// the photo's content, so that they are there again after a reload, in a later gallery, and of a renamed photo. It does
// so in a database, which says when they are on the disk: a browser that dies takes the end of its localStorage along.
const HOW = ["confirmed", "moved", "drawn"];
const corrections = new Map(), given = new Map(), drafts = new Map(), places = new Map(), past = [];
const names = new Set(classes.map(({ name }) => name));
let keeps = true, pending = 0, unsaved = false;

for (const card of cards) {
  const key = `${card.photo} ${card.tag}`, content = photos[card.photo].sha256;
  const boxes = [...(drafts.get(key) ?? []), ...(card.box ? [{ box: card.box, how: "draft" }] : [])];
  drafts.set(key, boxes);
  if (card.reviewed) given.set(content, new Map(given.get(content)).set(classes[card.tag].name, seen(boxes)));
}
photos.forEach(({ sha256 }, index) => places.set(sha256, [...(places.get(sha256) ?? []), index]));
for (const [content, tags] of given) corrections.set(content, tags);

function correctionOf({ photo, tag }) {
  return corrections.get(photos[photo].sha256)?.get(classes[tag].name);
}

function boxesOf(card) {
  return correctionOf(card) ?? drafts.get(`${card.photo} ${card.tag}`) ?? [];
}

// Who corrects one box of a tag has reviewed the others, too.
function seen(boxes) {
  return boxes.map(({ box, how }) => ({ box, how: how === "draft" ? "confirmed" : how }));
}

function reviewState(card) {
  const boxes = correctionOf(card);
  if (!boxes) return "";
  if (!boxes.length) return "nothing here";
  return boxes.every(({ how }) => how === "confirmed") ? "right" : "corrected";
}

const database = new Promise((resolve, reject) => {
  const asked = indexedDB.open("torchbas", 1);
  asked.onupgradeneeded = () => asked.result.createObjectStore("corrections");
  asked.onsuccess = () => resolve(asked.result);
  asked.onerror = () => reject(asked.error);
});

// Done when what `act` does with the database is on the disk.
async function transact(mode, act) {
  const transaction = (await database).transaction("corrections", mode, { durability: "strict" });
  act(transaction.objectStore("corrections"));
  await new Promise((resolve, reject) => {
    transaction.oncomplete = resolve;
    transaction.onabort = () => reject(transaction.error);
  });
}

function cannotKeep() {
  keeps = false;
  count();
}

// What another page has left in the database is data: what has not our form is passed over.
function understood(value, { width, height }) {
  const inside = ([x0, y0, x1, y1]) => x0 >= 0 && y0 >= 0 && x1 <= width && y1 <= height && x0 < x1 && y0 < y1;
  try {
    const valid = ({ box, how }) => HOW.includes(how) && box.length === 4 && box.every(Number.isFinite) && inside(box);
    // Without any box a tag would say "nothing here".
    const tags = value.filter(([tag, boxes]) => typeof tag === "string" && (!boxes.length || boxes.some(valid)));
    return new Map(tags.map(([tag, boxes]) =>
      [tag, boxes.filter(valid).map(({ box, how }) => ({ box: [...box], how }))]));
  } catch {
    return new Map();
  }
}

function withTags(before, tags) {
  const after = new Map(before);
  for (const [tag, boxes] of tags) boxes ? after.set(tag, boxes) : after.delete(tag);
  return after;
}

// Only the tags that are changed are written, so that what other pages have kept of the photo stays.
async function keep(content, tags) {
  pending += 1;
  try {
    await transact("readwrite", (store) => {
      store.get(content).onsuccess = ({ target }) => {
        const after = withTags(understood(target.result, photos[places.get(content)[0]]), tags);
        after.size ? store.put([...after], content) : store.delete(content);
      };
    });
  } catch {
    cannotKeep();
  }
  pending -= 1;
}

// Brings what the database has, which other pages may have changed, into this one.
async function recall() {
  if (!keeps) return;
  const found = new Map(), changed = [];
  try {
    await transact("readonly", (store) => {
      store.getAllKeys().onsuccess = ({ target }) => {
        for (const content of target.result.filter((key) => places.has(key)))
          store.get(content).onsuccess = (got) => found.set(content, got.target.result);
      };
    });
  } catch {
    return cannotKeep();
  }
  for (const content of new Set([...corrections.keys(), ...found.keys()])) {
    const kept = [...understood(found.get(content), photos[places.get(content)[0]])].filter(([tag]) => names.has(tag));
    const after = new Map([...(given.get(content) ?? []), ...kept]);
    if (JSON.stringify([...after]) === JSON.stringify([...(corrections.get(content) ?? [])])) continue;
    corrections.set(content, after);
    settle(content);
    changed.push(content);
  }
  if (changed.length) redraw(changed);
}

// The card of any tag is that of the first one with a box.
function settle(content) {
  const tag = classes.findIndex(({ name }) => corrections.get(content)?.get(name)?.length);
  for (const card of cards) if (card.any && tag >= 0 && photos[card.photo].sha256 === content) card.tag = tag;
}

// Sets the boxes of some tags of a photo; undefined is as they were found.
function put(content, tags) {
  corrections.set(content, withTags(corrections.get(content), tags));
  unsaved = true;
  keep(content, tags);
  redraw([content]);
}

function change(photo, tags) {
  const content = photos[photo].sha256, before = corrections.get(content);
  past.push([content, new Map([...tags.keys()].map((tag) => [tag, before?.get(tag)]))]);
  put(content, tags);
}

function undo() {
  const last = past.pop();
  if (last) put(...last);
}

// COCO, with what was reviewed in each photo: a tag in `reviewed` has these boxes and no others.
function saved() {
  const images = [], annotations = [], category = new Map([...names].map((name, n) => [name, n + 1]));
  photos.forEach(({ name, width, height, sha256 }) => {
    const tags = corrections.get(sha256), id = images.length + 1;
    if (!tags?.size) return;
    images.push({ id, file_name: name, width, height, sha256, reviewed: [...tags.keys()] });
    for (const [tag, boxes] of tags) for (const { box: [x0, y0, x1, y1], how } of boxes)
      annotations.push({ id: annotations.length + 1, image_id: id, category_id: category.get(tag),
        bbox: [x0, y0, x1 - x0, y1 - y0], area: (x1 - x0) * (y1 - y0), iscrowd: 0, segmentation: [],
        attributes: { corrected: how } });
  });
  const categories = [...category].map(([name, id]) => ({ id, name, supercategory: "" }));
  const info = { description: "Corrected by hand in a gallery of torchbas", version: "1" };
  return { info, licenses: [], categories, images, annotations };
}

async function save() {
  await recall();
  const address = URL.createObjectURL(new Blob([`${JSON.stringify(saved())}\n`], { type: "application/json" }));
  make("a", { href: address, download: "corrections.json" }).click();
  setTimeout(() => URL.revokeObjectURL(address), 60_000);
  unsaved = false;
}

addEventListener("focus", recall);
addEventListener("beforeunload", (event) => { if (pending || (unsaved && !keeps)) event.preventDefault(); });
