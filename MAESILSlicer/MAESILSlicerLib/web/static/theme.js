// Light or dark theme: the browser's preference by default; the user's choice is stored in this browser only.
(function () {
  "use strict";

  const THEME = "maesil-theme";
  const prefersLight = window.matchMedia("(prefers-color-scheme: light)");

  function chosenTheme() {
    try {
      return localStorage.getItem(THEME);
    } catch {
      // Without storage, the choice lasts until the page is closed.
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
