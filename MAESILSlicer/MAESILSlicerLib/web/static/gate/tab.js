// This tab: who it is, what it is at the moment, and what the server says to its wishes.

export const OWNER = "owner";
export const WATCHER = "watcher";
export const ANSWER_MS = 10_000;

const TAB = "maesil-tab";

// `phase` is "starting", "asking", "live", "lost" or "taken"; `start` differs between two starts of the server.
export const here = { id: storedTab(), phase: "starting", role: null, start: null };
if (!here.id) {
  newTab();
}

function storedTab() {
  try {
    return sessionStorage.getItem(TAB);
  } catch {
    // Where pages may not store anything, a reload makes another tab of it.
    return null;
  }
}

export function newTab() {
  const bytes = crypto.getRandomValues(new Uint8Array(20));
  here.id = `tab-${Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("")}`;
  try {
    sessionStorage.setItem(TAB, here.id);
  } catch {
    // As above.
  }
}

// What the server says to a wish, see `Admission.enter`; it rejects where there is no server.
export async function enter(wish) {
  const response = await fetch("enter", {
    method: "POST",
    headers: { "Content-Type": "application/json" },
    body: JSON.stringify({ tab: here.id, wish }),
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

// The server gives files to the tab that owns the page, and takes uploads from it.
export function ofThisTab(address) {
  const url = new URL(address, document.baseURI);
  url.searchParams.set("tab", here.id);
  return url.href;
}

export const pause = (milliseconds) => new Promise((done) => setTimeout(done, milliseconds));
