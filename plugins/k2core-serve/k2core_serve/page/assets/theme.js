// Applies the chosen theme before the first paint; the button is wired up by main.js.
"use strict";
(() => {
  const chosen = () => { try { return localStorage.getItem("k2core.theme") || ""; } catch { return ""; } };
  const apply = (theme) => {
    if (theme) document.documentElement.dataset.theme = theme;
    else delete document.documentElement.dataset.theme;
  };
  window.k2theme = {
    get: chosen,
    set(theme) {
      try { theme ? localStorage.setItem("k2core.theme", theme) : localStorage.removeItem("k2core.theme"); } catch { /* private mode */ }
      apply(theme);
    },
  };
  apply(chosen());
})();
