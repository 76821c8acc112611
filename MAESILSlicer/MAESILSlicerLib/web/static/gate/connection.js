// The connection of the page: notices that it is lost, says so, and tries again until the page is where it was.

import { hide, show } from "./dialog.js";
import { ANSWER_MS, WATCHER, enter, here, pause } from "./tab.js";

// The server closes a websocket with these codes: another tab has the seat, or the server ends.
const TAKEN_CODE = 4001;
const ENDED_CODE = 1001;
// Of wslink, for a call over a connection that is not open.
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
  // trame closes its connection now, which is no loss unless the page stays after all.
  isUnloading = true;
  setTimeout(() => {
    isUnloading = false;
    if (here.phase === "live" && !window.trame.client.isConnected()) {
      lost();
    }
  }, 3_000);
});

// A page that the browser kept in memory is shown again without its connection.
window.addEventListener("pageshow", (event) => event.persisted && location.reload());

// Watch the connection that trame's client is making now, and all after it; `onTaken` is called where another tab has
// taken the page, `onFirst` once the first connection is made.
export function keepConnected(onFirst, onTaken) {
  const { trame } = window;
  taken = onTaken;
  const { trigger } = trame;
  // A pointer that leaves a view, for one, is told to the server, which must not fail where there is none.
  trame.trigger = async (...called) => (here.phase === "live" ? trigger(...called) : undefined);
  watchClient(trame.client);
  trame.addConnectListener(() => {
    const isFirst = here.phase === "starting";
    here.phase = "live";
    keepPage(trame.state);
    const { client } = trame;
    // The client itself does not tell why it was closed.
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
  // After a reconnection, the client before has nothing to say any more.
  if (client !== window.trame.client || isUnloading || here.phase === "lost" || here.phase === "taken") {
    return;
  }
  if (here.phase === "starting") {
    here.phase = "lost";
    // trame writes there what its program calls the failure.
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

// What trame and its views still ask over a closed connection fails, which is no news.
window.addEventListener("unhandledrejection", (event) => {
  if (event.reason?.code === CLOSED_ERROR) {
    event.preventDefault();
  }
});

// Some losses are not noticed, such as those of a computer that was asleep: nothing is sent, so nothing fails.
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

// Connect again as what the server says; whether that went well.
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

// trame makes the page anew: gives a function that unfolds and scrolls it as it is now.
function placesOf() {
  const panel = document.getElementById("panel");
  const top = panel?.scrollTop;
  const open = Array.from(document.querySelectorAll(".panel details"), (details) => details.open);
  return () =>
    requestAnimationFrame(() =>
      requestAnimationFrame(() => {
        document.querySelectorAll(".panel details").forEach((details, number) => {
          details.open = open[number] ?? details.open;
        });
        document.getElementById("panel")?.scrollTo(0, top || 0);
      }),
    );
}

// trame's client puts a message in the place of the page where a connection fails; here, the page stays and waits.
const OF_TRAMES_MESSAGE = ["trame_error_report_msg", "trame__template_main"];

function keepPage(state) {
  const set = state.set.bind(state);
  state.set = async (key, value) => OF_TRAMES_MESSAGE.includes(key) || set(key, value);
}
