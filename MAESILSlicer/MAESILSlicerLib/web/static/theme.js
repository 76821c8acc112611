// Light or dark: the browser's preference until somebody chooses, which this browser alone remembers.
(function () {
  "use strict";

  const THEME = "maesil-theme";
  const prefersLight = window.matchMedia("(prefers-color-scheme: light)");

  function chosenTheme() {
    try {
      return localStorage.getItem(THEME);
    } catch {
      // Where pages may not store anything, the choice lasts as long as the page.
      return null;
    }
  }

  function showTheme(theme) {
    document.documentElement.dataset.theme = theme;
  }

  function showPreferred() {
    showTheme(chosenTheme() || (prefersLight.matches ? "light" : "dark"));
  }

  function changeTheme() {
    const theme = document.documentElement.dataset.theme === "light" ? "dark" : "light";
    showTheme(theme);
    try {
      localStorage.setItem(THEME, theme);
    } catch {
      // As above.
    }
  }

  showPreferred();
  prefersLight.addEventListener("change", showPreferred);
  window.maesil = { changeTheme };
})();
