// Metrics over the pairs of frames: a line a system, the frame in view, values under the pointer, a click seeks.

function startCurves() {
  const box = find("#plot");
  const readout = element("div", { class: "readout", hidden: "" }, box);
  const margin = { top: 10, right: 14, bottom: 30, left: 46 };
  const pairs = data.frames.length - 1;
  let curve = data.curves[0];
  let scale = null;
  let svg = null;
  let playhead = null;
  let cross = null;

  function redraw() {
    const width = box.clientWidth;
    const height = Math.max(200, Math.min(320, width * 0.4));
    if (svg) svg.remove();
    svg = drawn("svg", { viewBox: `0 0 ${width} ${height}`, width, height, role: "img" });
    svg.setAttribute("aria-label", `${curve.heading} of each pair of frames, one line a system`);
    box.prepend(svg);
    const bounds = extent();
    const inner = { width: width - margin.left - margin.right, height: height - margin.top - margin.bottom };
    scale = {
      x: (pair) => margin.left + (pair / Math.max(1, pairs - 1)) * inner.width,
      y: (value) => margin.top + (1 - share(value, bounds)) * inner.height,
      pair: (x) => Math.round(((x - margin.left) / inner.width) * Math.max(1, pairs - 1)),
    };
    drawAxes(bounds, width, height);
    playhead = drawn("line", { class: "playhead", y1: margin.top, y2: height - margin.bottom }, svg);
    data.systems.forEach((system, index) => {
      if (!shown[index] || !system.pairs[curve.key].length) return;
      const line = { d: path(system.pairs[curve.key]), class: `curve stroke run-${system.hue} dash-${index % 4}` };
      drawn("path", { ...line, "data-system": index }, svg);
    });
    cross = drawn("line", { class: "cross", y1: margin.top, y2: height - margin.bottom, visibility: "hidden" }, svg);
    movePlayhead();
    find("#curve-about").textContent = curve.about;
  }

  // Consistency is far from 0, flips are close to it: the axis shows what there is, from 0 where that costs little.
  function extent() {
    const known = data.systems.flatMap((s, i) => (shown[i] ? s.pairs[curve.key].filter((v) => v !== null) : []));
    let low = known.length ? known.reduce((a, b) => Math.min(a, b)) : 0;
    const high = known.length ? known.reduce((a, b) => Math.max(a, b)) : 1;
    if (low > 0 && low < 0.5 * high) low = 0;
    return rounded(low, high);
  }

  function drawAxes(bounds, width, height) {
    const lines = ticks(bounds);
    lines.forEach(({ at, text }, index) => {
      const y = scale.y(at);
      drawn("line", { class: "grid", x1: margin.left, x2: width - margin.right, y1: y, y2: y }, svg);
      const label = index === lines.length - 1 ? `${text} ${curve.unit}` : text;
      drawn("text", { class: "tick", x: margin.left - 6, y: y + 4, "text-anchor": "end" }, svg, label);
    });
    const every = Math.max(1, niceStep((pairs / width) * 80));
    for (let pair = every - 1; pair < pairs; pair += every) {
      const place = { x: scale.x(pair), y: height - margin.bottom + 18, "text-anchor": "middle" };
      drawn("text", { class: "tick", ...place }, svg, String(pair + 1));
    }
    const left = { x: margin.left - 8, y: height - margin.bottom + 18, "text-anchor": "end" };
    drawn("text", { class: "tick", ...left }, svg, "frame");
  }

  // A gap where a value is missing; a point alone between two gaps is drawn as a dot, by a line of no length.
  function path(values) {
    let d = "";
    let pen = false;
    values.forEach((value, pair) => {
      if (value === null) {
        pen = false;
        return;
      }
      const at = `${scale.x(pair).toFixed(1)} ${scale.y(value).toFixed(1)}`;
      d += pen ? `L${at}` : `M${at}`;
      if (!pen && (values[pair + 1] ?? null) === null) d += "h0.01";
      pen = true;
    });
    return d;
  }

  function movePlayhead() {
    const x = scale.x(Math.min(frame, pairs - 1));
    playhead.setAttribute("x1", x);
    playhead.setAttribute("x2", x);
  }

  function pairAt(event) {
    const x = event.clientX - svg.getBoundingClientRect().left;
    return Math.min(pairs - 1, Math.max(0, scale.pair(x)));
  }

  function read(event) {
    const pair = pairAt(event);
    const x = scale.x(pair);
    cross.setAttribute("x1", x);
    cross.setAttribute("x2", x);
    cross.setAttribute("visibility", "visible");
    readout.replaceChildren(element("b", {}, null, `frames ${pair + 1} → ${pair + 2}`));
    data.systems.forEach((system, index) => {
      if (!shown[index] || !system.pairs[curve.key].length) return;
      const line = element("span", { class: `run-${system.hue}` }, readout);
      line.append(find(`#comparison tr[data-system="${index}"] .key`).cloneNode(true));
      element("span", {}, line, system.name);
      element("b", {}, line, written(system.pairs[curve.key][pair]));
    });
    readout.hidden = false;
    const left = x + 14 + readout.offsetWidth > box.clientWidth ? x - 14 - readout.offsetWidth : x + 14;
    readout.style.left = `${Math.max(0, left)}px`;
  }

  function leave() {
    readout.hidden = true;
    cross.setAttribute("visibility", "hidden");
  }

  box.addEventListener("pointermove", (event) => {
    read(event);
    if (event.buttons === 1) seek(pairAt(event));
  });
  box.addEventListener("pointerdown", (event) => event.button === 0 && seek(pairAt(event)));
  box.addEventListener("pointerleave", leave);
  findAll("[name=curve]").forEach((choice, index) => {
    choice.checked = index === 0;
    choice.addEventListener("change", () => {
      curve = data.curves[index];
      redraw();
    });
  });
  whenShownChanges.push(redraw);
  whenFrameChanges.push(movePlayhead);
  new ResizeObserver(redraw).observe(box);
  redraw();
}

if (data.curves.length) startCurves();
