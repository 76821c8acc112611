// This tab: its id, its phase and its requests to the server.

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
    // Without storage, a reload counts as a new tab.
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

// The server's answer to a wish, see `Admission.enter`; rejects without a server.
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

// An address with the tab's id: the server sends files to the owner only, and accepts uploads from it only.
export function ofThisTab(address) {
  const url = new URL(address, document.baseURI);
  url.searchParams.set("tab", here.id);
  return url.href;
}

export const pause = (milliseconds) => new Promise((done) => setTimeout(done, milliseconds));
