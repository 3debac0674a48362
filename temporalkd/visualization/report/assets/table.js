// The comparison: sorting by a heading, and the headings' explanations.

function sortBy(column, heading) {
  const table = find("#comparison");
  const rows = findAll("tbody tr", table);
  const falls = heading.dataset.falls === "yes";
  const first = falls ? "descending" : "ascending";
  const second = falls ? "ascending" : "descending";
  const before = heading.getAttribute("aria-sort");
  const order = before === "none" ? first : before === first ? second : "none";
  for (const other of findAll("thead th", table)) other.setAttribute("aria-sort", "none");
  heading.setAttribute("aria-sort", order);
  rows.sort((a, b) => Number(a.dataset.system) - Number(b.dataset.system));
  if (order !== "none") {
    const sign = order === "ascending" ? 1 : -1;
    rows.sort((a, b) => compared(a.cells[column].dataset.value, b.cells[column].dataset.value, column === 0, sign));
  }
  find("tbody", table).append(...rows);
}

// What has no value comes last, whatever the direction.
function compared(a, b, asText, sign) {
  if (asText) return sign * a.localeCompare(b, undefined, { numeric: true });
  if (a === "" || b === "") return (a === "") - (b === "");
  return sign * (Number(a) - Number(b));
}

const tip = find("#tip");

function explain(event) {
  const button = event.currentTarget;
  tip.textContent = button.dataset.about.trim();
  tip.hidden = tip.textContent === "";
  button.setAttribute("aria-describedby", "tip");
  const place = button.getBoundingClientRect();
  const left = Math.min(place.left, document.documentElement.clientWidth - tip.offsetWidth - 12);
  tip.style.left = `${Math.max(12, left)}px`;
  tip.style.top = `${place.bottom + 8}px`;
}

function hush(event) {
  tip.hidden = true;
  event.currentTarget.removeAttribute("aria-describedby");
}

findAll("#comparison thead th").forEach((heading, column) => {
  const button = find("button", heading);
  button.addEventListener("click", () => sortBy(column, heading));
  if (!button.dataset.about) return;
  for (const kind of ["pointerenter", "focus"]) button.addEventListener(kind, explain);
  for (const kind of ["pointerleave", "blur"]) button.addEventListener(kind, hush);
});
addEventListener("scroll", () => (tip.hidden = true), { passive: true });
