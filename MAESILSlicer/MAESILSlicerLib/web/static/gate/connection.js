// The page's connection: detects its loss, shows a message and retries until the page is restored.

import { hide, show } from "./dialog.js";
import { ANSWER_MS, WATCHER, enter, here, pause } from "./tab.js";

// Close codes of the server's websocket: another tab has the seat, or the server shuts down.
const TAKEN_CODE = 4001;
const ENDED_CODE = 1001;
// wslink's error code for a call over a closed connection.
const CLOSED_ERROR = -32099;

const ALIVE_MS = 10_000;
const SILENCE_MS = 20_000;
const FIRST_RETRY_MS = 500;
const LAST_RETRY_MS = 15_000;
const GIVE_UP_MS = 60_000;

let taken = () => {};
let isUnloading = false;
let tryNow = () => {};

window.addEventListener("beforeunload", () => {
  // trame closes its connection now; this is a loss only if the page stays.
  isUnloading = true;
  setTimeout(() => {
    isUnloading = false;
    if (here.phase === "live" && !window.trame.client.isConnected()) {
      lost();
    }
  }, 3_000);
});

// A page restored from the browser's back/forward cache has no connection.
window.addEventListener("pageshow", (event) => event.persisted && location.reload());

// Watch the current and all later connections of trame's client. `onTaken` is called when another tab takes the page,
// `onFirst` after the first connection.
export function keepConnected(onFirst, onTaken) {
  const { trame } = window;
  taken = onTaken;
  const { trigger } = trame;
  // Events such as a pointer leaving a view call the server and must not fail without a connection.
  trame.trigger = async (...called) => (here.phase === "live" ? trigger(...called) : undefined);
  watchClient(trame.client);
  trame.addConnectListener(() => {
    const isFirst = here.phase === "starting";
    here.phase = "live";
    keepPage(trame.state);
    const { client } = trame;
    // The client does not report the reason of the close.
    client.getConnection().onConnectionClose((_connection, event) => closed(client, event.code));
    if (isFirst) {
      onFirst();
    } else {
      watchClient(client);
    }
  });
}

function watchClient(client) {
  client.onConnectionClose(() => closed(client));
  client.onConnectionError(() => closed(client));
}

function closed(client, code) {
  // After a reconnection, ignore the previous client.
  if (client !== window.trame.client || isUnloading || here.phase === "lost" || here.phase === "taken") {
    return;
  }
  if (here.phase === "starting") {
    here.phase = "lost";
    // trame writes its own error message there.
    document.getElementById("app").hidden = true;
    show(
      "The page cannot be opened",
      "The server closed the connection of this tab; a reverse proxy in between must pass websockets on.",
      ["Try again", () => location.reload()],
    );
  } else if (code === TAKEN_CODE) {
    taken();
  } else {
    lost(code === ENDED_CODE);
  }
}

// Pending calls of trame and its views fail on a closed connection; ignore them.
window.addEventListener("unhandledrejection", (event) => {
  if (event.reason?.code === CLOSED_ERROR) {
    event.preventDefault();
  }
});

// A heartbeat: some losses, such as those of a computer after sleep, cause no error because nothing is sent.
async function checkAlive(silence) {
  const { client } = window.trame || {};
  if (here.phase !== "live" || !client) {
    return;
  }
  const session = client.getConnection().getSession();
  const isAlive = await Promise.race([
    session.call("maesil.alive", []).catch(() => false),
    pause(silence).then(() => false),
  ]);
  if (!isAlive && here.phase === "live" && client === window.trame.client && !isUnloading) {
    lost();
    session.close();
  }
}

setInterval(() => checkAlive(SILENCE_MS), ALIVE_MS);

function lookNow() {
  if (document.visibilityState === "visible") {
    tryNow();
    checkAlive(ANSWER_MS);
  }
}

window.addEventListener("online", lookNow);
document.addEventListener("visibilitychange", lookNow);

async function lost(isEnded = false) {
  here.phase = "lost";
  const since = Date.now();
  const restore = placesOf();
  let wait = FIRST_RETRY_MS;
  let isGivenUp = null;
  for (;;) {
    const giveUp = isEnded || Date.now() - since >= GIVE_UP_MS;
    if (giveUp !== isGivenUp) {
      isGivenUp = giveUp;
      tellLost(giveUp, isEnded);
    }
    const answer = await enter(here.role === WATCHER ? WATCHER : null).catch((error) => ({ error }));
    if (answer.error?.isRefusal) {
      show("The server was started again", answer.error.message);
      return;
    }
    if (!answer.error && (await reenter(answer))) {
      restore();
      return;
    }
    if (here.phase === "taken") {
      return;
    }
    await new Promise((done) => {
      tryNow = done;
      setTimeout(done, wait);
    });
    wait = Math.min(2 * wait, LAST_RETRY_MS);
  }
}

function tellLost(isGivenUp, isEnded) {
  const again = ["Try now", () => tryNow()];
  if (isEnded) {
    show("MAESIL was ended", "The server has stopped; start it again, and open the address that it prints.", again);
  } else if (isGivenUp) {
    show(
      "MAESIL does not answer",
      "The server has stopped or cannot be reached; check the network, or start it again and open the address that it prints.",
      again,
    );
  } else {
    show("Connection lost, trying again …", "The scan and a running job stay on the server.", again);
  }
}

// Connect again in the role that the server assigns; resolves to whether this succeeded.
async function reenter(answer) {
  if (answer.role && (answer.start !== here.start || answer.role !== here.role)) {
    location.reload();
    return true;
  }
  if (!answer.role) {
    if (!answer.is_leaving) {
      taken();
    }
    return false;
  }
  try {
    await window.trame.connect();
  } catch {
    here.phase = "lost";
    return false;
  }
  hide();
  return true;
}

// trame rebuilds the page: returns a function that restores the scroll position; sections.js keeps the open sections.
function placesOf() {
  const top = document.getElementById("panel")?.scrollTop;
  return () =>
    requestAnimationFrame(() =>
      requestAnimationFrame(() => document.getElementById("panel")?.scrollTo(0, top || 0)),
    );
}

// trame's client replaces the page by a message when a connection fails; this keeps the page.
const OF_TRAMES_MESSAGE = ["trame_error_report_msg", "trame__template_main"];

function keepPage(state) {
  const set = state.set.bind(state);
  state.set = async (key, value) => OF_TRAMES_MESSAGE.includes(key) || set(key, value);
}
