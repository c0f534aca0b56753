"use strict";
// Light or dark: as the system has it, until the reader chooses; paper is always light.
// Whoever paints with colours of its own listens to the event "theme" on the document.
const theme = (() => {
  const root = document.documentElement;
  const system = window.matchMedia("(prefers-color-scheme: dark)");
  const KEY = "offshelf-theme";

  function chosen() {
    try { return localStorage.getItem(KEY); } catch { return null; }  // some browsers keep nothing for files
  }
  function show(name) {
    if (root.dataset.theme === name) return;
    root.dataset.theme = name;
    document.dispatchEvent(new Event("theme"));
    const button = document.getElementById("theme");
    if (button) button.setAttribute("aria-pressed", String(name === "dark"));
  }
  const usual = () => show(chosen() ?? (system.matches ? "dark" : "light"));
  function toggle() {
    const next = root.dataset.theme === "dark" ? "light" : "dark";
    try { localStorage.setItem(KEY, next); } catch { /* lasts as long as the page then */ }
    show(next);
  }

  usual();
  system.addEventListener("change", usual);
  window.addEventListener("beforeprint", () => show("light"));
  window.addEventListener("afterprint", usual);
  document.addEventListener("DOMContentLoaded", () => {
    const button = document.getElementById("theme");
    if (!button) return;
    button.setAttribute("aria-pressed", String(root.dataset.theme === "dark"));
    button.addEventListener("click", toggle);
  });

  // The value of a custom property of style.css, such as colour("--accent").
  const colour = (name) => getComputedStyle(root).getPropertyValue(name).trim();
  return { colour, toggle };
})();
