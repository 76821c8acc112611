// The page of a tab that watches: it says so, and has nothing to click that would change anything.

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
  // What cannot be used can neither be clicked nor reached by the keyboard; the panel can still be scrolled.
  const freeze = () =>
    document.querySelectorAll(CHANGES).forEach((element) => {
      element.inert = !element.closest("[data-of-this-browser]");
    });
  new MutationObserver(freeze).observe(document.getElementById("app"), { childList: true, subtree: true });
  freeze();
}
