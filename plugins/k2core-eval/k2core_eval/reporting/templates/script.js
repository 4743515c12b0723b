// Filters the list of problems and opens what a link names. The report reads without it.
"use strict";
(() => {
  const form = document.querySelector("form.filters");
  const problems = [...document.querySelectorAll("details.problem")];
  const status = document.getElementById("shown");

  function filter() {
    const data = new FormData(form);
    const words = data.getAll("flag");
    const text = data.get("text").trim().toLowerCase();
    const task = data.get("task") || "";
    let count = 0;
    for (const problem of problems) {
      const flags = problem.dataset.flags.split(" ");
      const fits = (!task || problem.dataset.task === task)
        && (!words.length || words.some((word) => flags.includes(word)))
        && (!text || problem.querySelector("summary").textContent.toLowerCase().includes(text) || problem.id.toLowerCase().includes(text));
      problem.hidden = !fits;
      count += fits;
    }
    status.textContent = `${count} of ${problems.length} problems`;
  }

  function reveal() {
    let name;
    try { name = decodeURIComponent(location.hash.slice(1)); } catch { return; }
    const target = name && document.getElementById(name);
    if (!target) return;
    for (let node = target; node; node = node.parentElement) {
      if (node.hidden) { form.reset(); filter(); }
      if (node.tagName === "DETAILS") node.open = true;
    }
    target.scrollIntoView({ block: "start" });
  }

  if (form) {
    form.hidden = false;
    form.addEventListener("input", filter);
    form.addEventListener("reset", () => setTimeout(filter));
    form.addEventListener("submit", (event) => event.preventDefault());
    filter();
  }
  window.addEventListener("hashchange", reveal);
  reveal();
})();
