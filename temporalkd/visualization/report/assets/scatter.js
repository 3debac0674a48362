// One point a system: how right it is against how steady, with the intervals as whiskers.

function startScatter(box) {
  const points = data.scatter.points;
  const margin = { top: 16, right: 24, bottom: 40, left: 52 };

  function redraw() {
    find("svg", box)?.remove();
    const width = box.clientWidth;
    const height = Math.max(240, Math.min(360, width * 0.5));
    const svg = drawn("svg", { viewBox: `0 0 ${width} ${height}`, width, height, role: "img" }, box);
    svg.setAttribute("aria-label", `${data.scatter.y} against ${data.scatter.x}, one point a system`);
    const bounds = { x: extent(points.flatMap((p) => p.x)), y: extent(points.flatMap((p) => p.y)) };
    const x = (v) => margin.left + share(v, bounds.x) * (width - margin.left - margin.right);
    const y = (v) => height - margin.bottom - share(v, bounds.y) * (height - margin.top - margin.bottom);
    for (const tick of ticks(bounds.y)) {
      drawn("line", { class: "grid", x1: margin.left, x2: width - margin.right, y1: y(tick.at), y2: y(tick.at) }, svg);
      drawn("text", { class: "tick", x: margin.left - 8, y: y(tick.at) + 4, "text-anchor": "end" }, svg, tick.text);
    }
    for (const tick of ticks(bounds.x)) {
      drawn("line", { class: "grid", x1: x(tick.at), x2: x(tick.at), y1: margin.top, y2: height - margin.bottom }, svg);
      const place = { x: x(tick.at), y: height - margin.bottom + 16, "text-anchor": "middle" };
      drawn("text", { class: "tick", ...place }, svg, tick.text);
    }
    const below = { x: width - margin.right, y: height - 6, "text-anchor": "end" };
    drawn("text", { class: "axis", ...below }, svg, `${data.scatter.x} →`);
    drawn("text", { class: "axis", x: margin.left + 6, y: margin.top + 2 }, svg, `↑ ${data.scatter.y}`);
    for (const point of points) drawPoint(svg, point, x, y, width);
  }

  function drawPoint(svg, point, x, y, width) {
    if (!shown[point.system]) return;
    const group = drawn("g", { class: `run-${data.systems[point.system].hue}`, "data-system": point.system }, svg);
    const [left, low] = [x(point.x[0]), y(point.y[0])];
    if (point.x.length > 1) drawn("path", { class: "whisker", d: `M${x(point.x[1])} ${low}H${x(point.x[2])}` }, group);
    if (point.y.length > 1) drawn("path", { class: "whisker", d: `M${left} ${y(point.y[1])}V${y(point.y[2])}` }, group);
    const dot = drawn("circle", { class: "dot", cx: left, cy: low, r: 6 }, group);
    const name = data.systems[point.system].name;
    drawn("title", {}, dot, `${name}: ${data.scatter.x} ${written(point.x[0])}, ${data.scatter.y} ${written(point.y[0])}`);
    const flipped = left > width * 0.7;
    const place = { x: left + (flipped ? -11 : 11), y: low - 8, "text-anchor": flipped ? "end" : "start" };
    drawn("text", { class: "label", ...place }, group, name.length > 28 ? `…${name.slice(-27)}` : name);
  }

  function extent(numbers) {
    return rounded(numbers.reduce((a, b) => Math.min(a, b)), numbers.reduce((a, b) => Math.max(a, b)));
  }

  whenShownChanges.push(redraw);
  new ResizeObserver(redraw).observe(box);
}

if (data.scatter) startScatter(find("#scatter"));
