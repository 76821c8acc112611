// Requests a seat for this tab before the page is loaded, and shows a dialog if the page is in use. The server enforces
// this: see admission.py.

import { keepConnected } from "./connection.js";
import { hide, show } from "./dialog.js";
import { OWNER, WATCHER, enter, here, newTab, ofThisTab, pause } from "./tab.js";
import { beWatcher } from "./watching.js";

const LOOK_MS = 2_000;
const WAIT_MS = 500;

const byId = (id) => document.getElementById(id);

async function choose(wish) {
  try {
    const answer = await enter(wish);
    await goIn(answer);
  } catch (error) {
    tellFailure(error, () => choose(wish));
  }
}

function tellFailure(error, again) {
  if (error.isRefusal) {
    show("The page cannot be opened", error.message);
  } else {
    show("MAESIL does not answer", "The server cannot be reached.", ["Try again", again]);
  }
}

async function ask() {
  here.phase = "asking";
  let wasFree = null;
  while (here.phase === "asking") {
    const answer = await enter("look").catch(() => null);
    if (here.phase !== "asking") {
      return;
    }
    if (answer && answer.is_free !== wasFree) {
      wasFree = answer.is_free;
      if (wasFree) {
        show("MAESIL is free now", "Nobody uses the page any more.", ["Open the page", () => choose(OWNER)]);
      } else {
        show(
          "MAESIL is in use",
          "This page is open in another browser or tab. You can watch without changing anything, or take it over: " +
            "the scan and a running job stay, and the other tab is notified.",
          ["Watch", () => choose(WATCHER)],
          ["Take over", () => choose(OWNER)],
        );
      }
    }
    await pause(LOOK_MS);
  }
}

function taken() {
  here.phase = "taken";
  // The owner may be a duplicate of this tab, with the same id.
  newTab();
  show(
    "Somebody took the page over",
    "It is used in another browser or tab now; the scan and a running job are still there. " +
      "You can watch without changing anything, or take it back.",
    ["Watch", () => choose(WATCHER)],
    ["Take back", () => choose(OWNER)],
  );
}

async function begin() {
  try {
    let answer = await enter(null);
    // The owner has just closed or reloads the page; the server knows in a few seconds.
    while (!answer.role && answer.is_leaving) {
      byId("app").firstElementChild.textContent = "Waiting for the tab that was just closed …";
      await pause(WAIT_MS);
      answer = await enter(null);
    }
    await (answer.role ? goIn(answer) : ask());
  } catch (error) {
    tellFailure(error, begin);
  }
}

async function goIn(answer) {
  if (window.trame) {
    // Reload, because the whole page depends on the role.
    location.reload();
    return;
  }
  here.phase = "starting";
  here.role = answer.role;
  here.start = answer.start;
  document.documentElement.dataset.role = answer.role;
  hide();
  // trame's client reads these from the address and removes them.
  const endpoint = new URL("ws", document.baseURI);
  endpoint.protocol = endpoint.protocol === "https:" ? "wss:" : "ws:";
  const address = new URL(location.href);
  address.searchParams.set("sessionURL", endpoint.href);
  address.searchParams.set("secret", here.id);
  history.replaceState(null, "", address);
  for (const [source, isModule] of JSON.parse(byId("client-scripts").textContent)) {
    await load(source, isModule);
  }
  keepConnected(() => answer.role === WATCHER && beWatcher(() => choose(OWNER)), taken);
}

function load(source, isModule) {
  return new Promise((done, failed) => {
    const script = document.createElement("script");
    script.type = isModule ? "module" : "text/javascript";
    script.src = source;
    script.onload = done;
    script.onerror = () => failed(new Error(`${source} cannot be loaded.`));
    document.head.append(script);
  });
}

for (const type of ["pointerdown", "click"]) {
  document.addEventListener(
    type,
    (event) => {
      const link = event.target.closest?.("a[download]");
      if (link) {
        link.href = ofThisTab(link.href);
      }
    },
    true,
  );
}

Object.assign(window.maesil, { ofThisTab, mayChange: () => here.role === OWNER && here.phase === "live" });
begin();
