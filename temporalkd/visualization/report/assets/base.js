// What all parts of the page share: the report's data, which systems are shown, and the frame they all look at.

const data = JSON.parse(document.getElementById("data").textContent);
const find = (selector, within = document) => within.querySelector(selector);
const findAll = (selector, within = document) => [...within.querySelectorAll(selector)];

const shown = data.systems.map(() => true);
const whenShownChanges = [];

// The frame in view, and the last one.
const last = Math.max(0, data.frames.length - 1);
let frame = 0;
const whenFrameChanges = [];

// Replaced by the player where there is a video.
let seek = moveTo;

function moveTo(index) {
  frame = Math.min(last, Math.max(0, index));
  for (const tell of whenFrameChanges) tell();
}

function element(name, attributes = {}, parent = null, text = null) {
  const made = document.createElement(name);
  return dressed(made, attributes, parent, text);
}

function drawn(name, attributes = {}, parent = null, text = null) {
  const made = document.createElementNS("http://www.w3.org/2000/svg", name);
  return dressed(made, attributes, parent, text);
}

function dressed(made, attributes, parent, text) {
  for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value);
  if (text !== null) made.textContent = text;
  if (parent) parent.append(made);
  return made;
}

// An axis from a to b, widened to whole steps.
function rounded(a, b) {
  const [low, high] = a < b ? [a, b] : [a, a + 1];
  const step = niceStep((high - low) / 4);
  return { low: Math.floor(low / step) * step, high: Math.ceil(high / step) * step, step };
}

function niceStep(rough) {
  const power = 10 ** Math.floor(Math.log10(rough));
  return power * [1, 2, 5, 10].find((factor) => factor * power >= rough * 0.999);
}

function ticks({ low, high, step }) {
  const digits = Math.max(0, -Math.floor(Math.log10(step) + 1e-9));
  const count = Math.round((high - low) / step);
  return Array.from({ length: count + 1 }, (_, i) => ({ at: low + i * step, text: (low + i * step).toFixed(digits) }));
}

const share = (value, { low, high }) => (value - low) / (high - low);
const written = (number) => (number === null || number === undefined ? "–" : number.toFixed(2));

for (const box of findAll("#runs input")) {
  const index = Number(box.value);
  box.checked = true; // browsers keep a box's state over a reload
  box.addEventListener("change", () => {
    shown[index] = box.checked;
    for (const part of findAll(`.measure[data-system="${index}"]`)) part.hidden = !box.checked;
    for (const tell of whenShownChanges) tell();
  });
}
