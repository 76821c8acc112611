// The only dialog, shown over the page or instead of it.

const byId = (id) => document.getElementById(id);

let isWanted = false;

// Buttons are pairs of a label and a click handler; the last is the primary one, the first has the focus.
export function show(title, text, ...buttons) {
  const gate = byId("gate");
  byId("gate-title").textContent = title;
  byId("gate-text").textContent = text;
  byId("gate-buttons").replaceChildren(
    ...buttons.map(([label, action], number) => {
      const button = document.createElement("button");
      button.type = "button";
      button.textContent = label;
      button.className = number === buttons.length - 1 ? "primary" : "";
      button.addEventListener("click", action);
      return button;
    }),
  );
  isWanted = true;
  if (!gate.open) {
    gate.showModal();
  }
  gate.querySelector("button")?.focus();
}

export function hide() {
  isWanted = false;
  byId("gate").close();
}

// Escape must not close the dialog, because there is no usable page behind it. Browsers allow preventing the first
// Escape, but not the second.
byId("gate").addEventListener("cancel", (event) => event.preventDefault());
byId("gate").addEventListener("close", () => isWanted && byId("gate").showModal());
