// Puts the details of a row beside the pointer, or below the row that has the focus; Escape hides them.
"use strict";
const place = (tip, x, y) => {
  const box = tip.getBoundingClientRect();
  tip.style.left = Math.max(8, Math.min(x, innerWidth - box.width - 8)) + "px";
  tip.style.top = (y + box.height > innerHeight - 8 ? Math.max(8, y - box.height - 32) : y) + "px";
};
for (const row of document.querySelectorAll(".row")) {
  const tip = row.querySelector(".tip");
  row.addEventListener("pointermove", (event) => {
    document.body.classList.remove("quiet");
    place(tip, event.clientX + 16, event.clientY + 16);
  });
  row.addEventListener("focus", () => {
    document.body.classList.remove("quiet");
    const box = row.getBoundingClientRect();
    place(tip, box.left + 40, box.bottom + 4);
  });
}
addEventListener("keydown", (event) => {
  if (event.key === "Escape") document.body.classList.add("quiet");
});
