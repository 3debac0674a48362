// Worst moments (before and after under a slider) and the order of the classes.

for (const pair of findAll(".before-after")) {
  const slider = find("input", pair);
  const cut = () => pair.style.setProperty("--cut", `${slider.value}%`);
  slider.addEventListener("input", cut);
  cut();
}

const chooser = find("#moments-of");
if (chooser) {
  chooser.selectedIndex = 0;
  chooser.addEventListener("change", () => {
    for (const cards of findAll(".cards")) cards.hidden = cards.dataset.of !== chooser.value;
  });
}

for (const button of findAll(".show")) {
  const wanted = Number(button.dataset.frame);
  button.disabled = wanted < 0 || wanted > last;
  button.addEventListener("click", () => {
    seek(wanted);
    const calm = matchMedia("(prefers-reduced-motion: reduce)").matches;
    find("#player").scrollIntoView({ behavior: calm ? "auto" : "smooth" });
    find("#toggle").focus({ preventScroll: true });
  });
}

const order = find("#class-order");
if (order) {
  order.value = "given";
  order.addEventListener("change", () => {
    const rows = findAll("#classes tbody tr");
    rows.sort((a, b) => Number(a.dataset[order.value]) - Number(b.dataset[order.value]));
    find("#classes tbody").append(...rows);
  });
}
