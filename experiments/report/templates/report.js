"use strict";
// Filters the table of verdicts; the page is complete without this.
(() => {
  const form = document.querySelector(".filters");
  const rows = [...document.querySelectorAll("#verdicts tbody tr")];
  const shown = document.querySelector("#shown");
  const read = (name) => form.elements[name].value;
  const filter = () => {
    const words = read("text").toLowerCase().split(/\s+/).filter(Boolean);
    let count = 0;
    for (const row of rows) {
      const text = row.textContent.toLowerCase();
      const fits = words.every((word) => text.includes(word))
        && ["verdict", "paper", "provenance"].every((name) => !read(name) || row.dataset[name] === read(name));
      row.hidden = !fits;
      count += fits;
    }
    shown.textContent = `${count} of ${rows.length} claims shown`;
  };
  form.hidden = false;
  form.addEventListener("input", filter);
  form.addEventListener("submit", (event) => event.preventDefault());
  form.addEventListener("reset", () => setTimeout(filter));
  filter();
})();
