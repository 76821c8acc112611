// Asks the server to let this tab in before anything of it is loaded, says so where it may not, and connects again where
// the connection is lost. The server enforces all of it: see admission.py.
(function () {
  "use strict";

  const OWNER = "owner";
  const WATCHER = "watcher";
  const TAB = "maesil-tab";
  // The server closes a websocket with these codes: another tab has the seat, or the server ends.
  const TAKEN_CODE = 4001;
  const ENDED_CODE = 1001;
  // Of wslink, for a call over a connection that is not open.
  const CLOSED_ERROR = -32099;

  const ANSWER_MS = 10_000;
  const LOOK_MS = 2_000;
  const ALIVE_MS = 10_000;
  const SILENCE_MS = 20_000;
  const FIRST_RETRY_MS = 500;
  const LAST_RETRY_MS = 15_000;
  const GIVE_UP_MS = 60_000;

  const root = document.documentElement;
  const byId = (id) => document.getElementById(id);
  const pause = (milliseconds) => new Promise((done) => setTimeout(done, milliseconds));

  // "starting", "asking", "live", "lost" or "taken".
  let phase = "starting";
  let start = null;
  let role = null;
  let tab = storedTab();

  // ---------------------------------------------------------------- This tab

  function storedTab() {
    try {
      const stored = sessionStorage.getItem(TAB);
      if (stored) {
        return stored;
      }
    } catch {
      // Where pages may not store anything, a reload makes another tab of it.
    }
    return newTab();
  }

  function newTab() {
    const bytes = crypto.getRandomValues(new Uint8Array(20));
    const made = `tab-${Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("")}`;
    try {
      sessionStorage.setItem(TAB, made);
    } catch {
      // As above.
    }
    return made;
  }

  // What the server says to a wish, see `Admission.enter`; it rejects where there is no server.
  async function enter(wish) {
    const response = await fetch("enter", {
      method: "POST",
      headers: { "Content-Type": "application/json" },
      body: JSON.stringify({ tab, wish }),
      signal: AbortSignal.timeout(ANSWER_MS),
    });
    if (response.status === 401) {
      throw Object.assign(new Error(await response.text()), { isRefusal: true });
    }
    if (!response.ok) {
      throw new Error(`The server answered ${response.status}.`);
    }
    return response.json();
  }

  // ---------------------------------------------------------------- What lies over the page

  function show(title, text, ...buttons) {
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
    if (!gate.open) {
      gate.showModal();
    }
    gate.querySelector("button")?.focus();
  }

  function hide() {
    byId("gate").close();
  }

  // Escape leads nowhere: there is no page behind the question yet, or none that can be used.
  byId("gate").addEventListener("cancel", (event) => event.preventDefault());

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
    phase = "asking";
    let wasFree = null;
    while (phase === "asking") {
      const answer = await enter("look").catch(() => null);
      if (phase !== "asking") {
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
              "the scan and a running job stay, and the other tab is told.",
            ["Watch", () => choose(WATCHER)],
            ["Take over", () => choose(OWNER)],
          );
        }
      }
      await pause(LOOK_MS);
    }
  }

  function taken() {
    phase = "taken";
    // The tab that has the page now may be a copy of this one, with the same id.
    tab = newTab();
    show(
      "Somebody took the page over",
      "It is used in another browser or tab now; the scan and a running job are still there. " +
        "You can watch without changing anything, or take it back.",
      ["Watch", () => choose(WATCHER)],
      ["Take back", () => choose(OWNER)],
    );
  }

  // ---------------------------------------------------------------- Going in

  async function begin() {
    try {
      let answer = await enter(null);
      // Whoever had the page has just closed it, or reloads it: the server knows in some seconds.
      while (!answer.role && answer.is_leaving) {
        byId("app").firstElementChild.textContent = "Waiting for the tab that was just closed …";
        await pause(FIRST_RETRY_MS);
        answer = await enter(null);
      }
      await (answer.role ? goIn(answer) : ask());
    } catch (error) {
      tellFailure(error, begin);
    }
  }

  async function goIn(answer) {
    if (window.trame) {
      // Everything that hangs on the role is made anew.
      location.reload();
      return;
    }
    phase = "starting";
    ({ role, start } = answer);
    root.dataset.role = role;
    hide();
    // trame's client takes these from the address, and removes them from it.
    const endpoint = new URL("ws", document.baseURI);
    endpoint.protocol = endpoint.protocol === "https:" ? "wss:" : "ws:";
    const address = new URL(location.href);
    address.searchParams.set("sessionURL", endpoint.href);
    address.searchParams.set("secret", tab);
    history.replaceState(null, "", address);
    for (const [source, isModule] of JSON.parse(byId("client-scripts").textContent)) {
      await load(source, isModule);
    }
    const { trigger } = window.trame;
    // A pointer that leaves a view, for one, is told to the server, which must not fail where there is none.
    window.trame.trigger = async (...called) => (phase === "live" ? trigger(...called) : undefined);
    watchConnection(window.trame.client);
    window.trame.addConnectListener(connected);
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

  // trame's client puts a message in the place of the page where a connection fails; here, the page stays and waits.
  const OF_TRAMES_MESSAGE = ["trame_error_report_msg", "trame__template_main"];

  function keepPage(state) {
    const set = state.set.bind(state);
    state.set = async (key, value) => OF_TRAMES_MESSAGE.includes(key) || set(key, value);
  }

  function connected() {
    const isFirst = phase === "starting";
    phase = "live";
    keepPage(window.trame.state);
    const { client } = window.trame;
    // The client itself does not tell why it was closed.
    client.getConnection().onConnectionClose((_connection, event) => closed(client, event.code));
    if (!isFirst) {
      watchConnection(client);
    } else if (role === WATCHER) {
      beWatcher();
    }
  }

  // ---------------------------------------------------------------- Watching

  const CHANGES = ".app :is(input, select, textarea, button, [role=button], a[download], label.button, .plot, .views)";

  function beWatcher() {
    const banner = byId("watching");
    banner.hidden = false;
    byId("take-over").addEventListener("click", () => choose(OWNER));
    window.trame.state.watch(["has_owner"], (hasOwner) => {
      byId("watching-text").textContent = hasOwner
        ? "You are watching. Only the browser tab that uses this page can change anything."
        : "You are watching. Nobody uses this page at the moment.";
    });
    // What cannot be used can neither be clicked nor reached by the keyboard; the panel can still be scrolled.
    const freeze = () =>
      document.querySelectorAll(CHANGES).forEach((element) => {
        element.inert = !element.closest("[data-of-this-browser]");
      });
    new MutationObserver(freeze).observe(byId("app"), { childList: true, subtree: true });
    freeze();
  }

  // ---------------------------------------------------------------- A lost connection

  let isUnloading = false;
  let tryNow = () => {};

  window.addEventListener("beforeunload", () => {
    // trame closes its connection now, which is no loss unless the page stays after all.
    isUnloading = true;
    setTimeout(() => {
      isUnloading = false;
      if (phase === "live" && !window.trame.client.isConnected()) {
        lost();
      }
    }, 3_000);
  });

  // A page that the browser kept in memory is shown again without its connection.
  window.addEventListener("pageshow", (event) => event.persisted && location.reload());

  function watchConnection(client) {
    client.onConnectionClose(() => closed(client));
    client.onConnectionError(() => closed(client));
  }

  function closed(client, code) {
    // After a reconnection, the client before has nothing to say any more.
    if (client !== window.trame.client || isUnloading || phase === "lost" || phase === "taken") {
      return;
    }
    if (phase === "starting") {
      phase = "lost";
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
    if (phase !== "live" || !client) {
      return;
    }
    const session = client.getConnection().getSession();
    const isAlive = await Promise.race([
      session.call("maesil.alive", []).catch(() => false),
      pause(silence).then(() => false),
    ]);
    if (!isAlive && phase === "live" && client === window.trame.client && !isUnloading) {
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
    phase = "lost";
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
      const answer = await enter(role === WATCHER ? WATCHER : null).catch((error) => ({ error }));
      if (answer.error?.isRefusal) {
        show("The server was started again", answer.error.message);
        return;
      }
      if (!answer.error && (await reenter(answer))) {
        restore();
        return;
      }
      if (phase === "taken") {
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
      show("MAESIL was ended", "The server has stopped; start it again, and this page comes back.", again);
    } else if (isGivenUp) {
      show(
        "MAESIL does not answer",
        "The server has stopped or cannot be reached; start it again or check the network, and this page comes back.",
        again,
      );
    } else {
      show("Connection lost, trying again …", "The scan and a running job stay on the server.", again);
    }
  }

  // Connect again as what the server says; whether that went well.
  async function reenter(answer) {
    if (answer.role && (answer.start !== start || answer.role !== role)) {
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
      phase = "lost";
      return false;
    }
    hide();
    return true;
  }

  // trame makes the page anew: gives a function that unfolds and scrolls it as it is now.
  function placesOf() {
    const panel = byId("panel");
    const top = panel?.scrollTop;
    const open = Array.from(document.querySelectorAll(".panel details"), (details) => details.open);
    return () =>
      requestAnimationFrame(() =>
        requestAnimationFrame(() => {
          document.querySelectorAll(".panel details").forEach((details, number) => {
            details.open = open[number] ?? details.open;
          });
          byId("panel")?.scrollTo(0, top || 0);
        }),
      );
  }

  // ---------------------------------------------------------------- Requests beside the websocket

  // The server gives files to the tab that owns the page, and takes uploads from it.
  const ofThisTab = (address) => {
    const url = new URL(address, document.baseURI);
    url.searchParams.set("tab", tab);
    return url.href;
  };

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

  Object.assign(window.maesil, { ofThisTab, mayChange: () => role === OWNER && phase === "live" });
  begin();
})();
