// The page of a watching tab: shows a note and disables every control.

const CHANGES = ".app :is(input, select, textarea, button, [role=button], a[download], label.button, .plot, .views)";

export function beWatcher(takeOver) {
  const banner = document.getElementById("watching");
  banner.hidden = false;
  document.getElementById("take-over").addEventListener("click", takeOver);
  window.trame.state.watch(["has_owner"], (hasOwner) => {
    document.getElementById("watching-text").textContent = hasOwner
      ? "You are watching. Only the browser tab that uses this page can change anything."
      : "You are watching. Nobody uses this page at the moment.";
  });
  // Inert controls can be neither clicked nor focused; the panel can still be scrolled.
  const freeze = () =>
    document.querySelectorAll(CHANGES).forEach((element) => {
      element.inert = !element.closest("[data-of-this-browser]");
    });
  new MutationObserver(freeze).observe(document.getElementById("app"), { childList: true, subtree: true });
  freeze();
}
