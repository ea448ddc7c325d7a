// Runs before the first paint, so that a chosen theme never flashes; a file because the page's
// content security policy allows no inline script.
document.documentElement.dataset.theme =
  localStorage.getItem("theme") ??
  (matchMedia("(prefers-color-scheme: dark)").matches ? "dark" : "light");
