// Keeps the sections of the panel as this browser's user has left them: trame makes the page anew for each other layout.
(function () {
  "use strict";

  const isOpen = new Map();
  let panel = null;
  let scrolled = 0;

  const nameOf = (section) => section.dataset.section;

  // Before the events of the new elements, as these are tasks and observers are called before.
  function restore() {
    const found = document.getElementById("panel");
    if (!found || found === panel) {
      return;
    }
    panel = found;
    panel.querySelectorAll("details[data-section]").forEach((section) => {
      if (isOpen.has(nameOf(section))) {
        section.open = isOpen.get(nameOf(section));
      }
    });
    panel.scrollTop = scrolled;
    panel.addEventListener("scroll", (event) => {
      if (event.target.isConnected) {
        scrolled = event.target.scrollTop;
      }
    });
  }

  // These events do not bubble.
  document.addEventListener(
    "toggle",
    (event) => {
      if (event.target.matches("details[data-section]")) {
        isOpen.set(nameOf(event.target), event.target.open);
      }
    },
    true
  );
  new MutationObserver(restore).observe(document.documentElement, { childList: true, subtree: true });
})();
