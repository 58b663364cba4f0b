// Runs before the first paint, so that neither a chosen theme nor chosen columns flash.
(() => {
  try {
    const chosen = localStorage.getItem("umbel-theme");
    const columns = localStorage.getItem("umbel-columns");
    const url = new URL(location.href);
    if (columns && url.pathname === document.currentScript.dataset.tasks && !url.searchParams.has("cols")) {
      url.searchParams.set("cols", columns);
      location.replace(url);
    }
    if (chosen === "light" || chosen === "dark") document.documentElement.dataset.theme = chosen;
  } catch (error) {
    console.debug("nothing is remembered:", error.message);
  }
})();
