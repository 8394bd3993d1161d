"use strict";
// Everything works without this script, except sorting, saving and zooming.
const value = (cell) => cell.dataset.v ?? cell.textContent.trim();
for (const table of document.querySelectorAll("table.data")) {
  const heads = [...table.tHead.rows[0].cells], body = table.tBodies[0];
  heads.forEach((head, column) => head.querySelector("button").addEventListener("click", () => {
    const down = head.getAttribute("aria-sort") === "ascending";
    heads.forEach((other) => other.removeAttribute("aria-sort"));
    head.setAttribute("aria-sort", down ? "descending" : "ascending");
    const rows = [...body.rows].map((row) => [value(row.cells[column]), row]);
    const numeric = rows.every(([v]) => v === "" || !isNaN(Number(v)));
    const full = rows.filter(([v]) => v !== ""), empty = rows.filter(([v]) => v === "");
    full.sort(([a], [b]) => (numeric ? a - b : a.localeCompare(b, undefined, { numeric: true })) * (down ? -1 : 1));
    body.append(...full.concat(empty).map(([, row]) => row)); // undefined values stay last
  }));
  const link = document.querySelector(`a.csv[data-table="${table.id}"]`);
  link.addEventListener("click", () => {
    const field = (cell, text) => {
      if (!("v" in cell.dataset) && /^'*[=+\-@\t\r]/.test(text)) text = "'" + text; // no formula for a spreadsheet
      return /[",\r\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
    };
    const line = (row) => [...row.cells].map((cell) => field(cell, value(cell))).join(",");
    const text = [table.tHead.rows[0], ...body.rows].map(line).join("\n") + "\n";
    URL.revokeObjectURL(link.href);
    link.href = URL.createObjectURL(new Blob([text], { type: "text/csv" }));
  });
}

const dialog = document.querySelector("dialog"), stage = dialog.querySelector(".stage");
let shown = null, scale = 1, x = 0, y = 0;
const place = () => { shown.style.transform = `translate(${x}px, ${y}px) scale(${scale})`; };
const zoom = (factor, px, py) => {
  const next = Math.min(Math.max(scale * factor, 0.25), 40);
  x = px - (px - x) * next / scale; y = py - (py - y) * next / scale; scale = next; place();
};
const middle = (factor) => zoom(factor, stage.clientWidth / 2, stage.clientHeight / 2);
const open = (figure) => {
  shown = figure.querySelector(".stack").cloneNode(true);
  shown.removeAttribute("style");
  stage.replaceChildren(shown);
  dialog.classList.toggle("bare", figure.closest(".gallery").querySelector("input.outlines")?.checked === false);
  dialog.querySelector(".title").textContent = figure.querySelector("figcaption").textContent;
  dialog.showModal();
  const width = Number(figure.dataset.w), height = Number(figure.dataset.h);
  shown.style.width = width + "px"; shown.style.height = height + "px";
  scale = Math.min(stage.clientWidth / width, stage.clientHeight / height);
  x = (stage.clientWidth - width * scale) / 2; y = (stage.clientHeight - height * scale) / 2;
  place();
};
for (const button of document.querySelectorAll(".zoom")) {
  button.addEventListener("click", () => open(button.closest("figure")));
}
stage.addEventListener("wheel", (event) => {
  event.preventDefault();
  const box = stage.getBoundingClientRect();
  zoom(event.deltaY < 0 ? 1.25 : 0.8, event.clientX - box.left, event.clientY - box.top);
}, { passive: false });
stage.addEventListener("pointerdown", (event) => { stage.setPointerCapture(event.pointerId); });
stage.addEventListener("pointermove", (event) => {
  if (event.buttons) { x += event.movementX; y += event.movementY; place(); }
});
dialog.addEventListener("keydown", (event) => {
  if (event.key === "+" || event.key === "=") middle(1.25);
  if (event.key === "-") middle(0.8);
});
dialog.querySelector(".in").addEventListener("click", () => middle(1.5));
dialog.querySelector(".out").addEventListener("click", () => middle(1 / 1.5));
dialog.querySelector(".close").addEventListener("click", () => dialog.close());
