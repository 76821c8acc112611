// The one dialog that lies over the page, or in its place.

const byId = (id) => document.getElementById(id);

let isWanted = false;

// Buttons are pairs of a label and what a click does; the last one is the main one, the first one has the keyboard.
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

// Escape leads nowhere: there is no page behind the question yet, or none that can be used. Browsers let the first one
// be prevented, not the second.
byId("gate").addEventListener("cancel", (event) => event.preventDefault());
byId("gate").addEventListener("close", () => isWanted && byId("gate").showModal());
