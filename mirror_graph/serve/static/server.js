// The server: requests, and one stream of events for as long as the tab is visible.

import { $ } from "./dom.js";

const FIRST_WAIT = 300;
const LONGEST_WAIT = 4000;
const SILENCE = 45000; // the server sends something every 15 seconds
const KEY = "mirror-key";
const ACCEPTED = "mirror-key-accepted";

export class Refused extends Error {}

/** Send a request. Resolves to the answer; throws `Refused` with the server's reason, or a TypeError if it is away. */
export async function request(method, path, body) {
  const response = await fetch(path, {
    method,
    headers: { ...credentials(), ...(body ? { "Content-Type": "application/json" } : {}) },
    body: body && JSON.stringify(body),
  });
  if (response.status === 401) {
    await signIn(await reason(response));
    return request(method, path, body);
  }
  if (!response.ok) throw new Refused(await reason(response));
  if (credentials().Authorization) sessionStorage.setItem(ACCEPTED, "yes");
  return response.headers.get("Content-Type")?.includes("json") ? response.json() : null;
}

/** What to tell the user about an error of `request`. */
export function problemOf(error) {
  return error instanceof Refused ? error.message : "The server cannot be reached. Nothing is lost: try again.";
}

/**
 * Follow a conversation. The stream opens while the tab is visible and closes when it is hidden, because a browser opens
 * six connections to a host and a seventh tab would wait for ever. It begins with a snapshot each time, so a reload, a
 * second tab and a broken connection are the same case.
 */
export function follow(conversation, onEvent, onStatus) {
  let stream = null;
  let wait = FIRST_WAIT;
  let timer = 0;

  async function open() {
    close();
    const opened = new AbortController();
    stream = opened;
    let problem = "";
    try {
      await read(conversation, opened, (event, data) => {
        wait = FIRST_WAIT;
        onStatus("open");
        onEvent(event, data);
      });
    } catch (error) {
      if (error instanceof SignInNeeded) await signIn(error.message);
      if (error instanceof Refused) problem = error.message;
    }
    if (stream !== opened) return; // closed by us
    onStatus("closed", problem);
    timer = setTimeout(open, wait);
    wait = Math.min(wait * 2, LONGEST_WAIT);
  }

  function close() {
    clearTimeout(timer);
    stream?.abort();
    stream = null;
  }

  const toggle = () => (document.visibilityState === "visible" ? stream ?? open() : close());
  const reopen = () => document.visibilityState === "visible" && open();
  const lose = () => {
    close(); // a stream over a network that is gone would only fall silent
    onStatus("closed");
  };
  document.addEventListener("visibilitychange", toggle);
  window.addEventListener("online", reopen);
  window.addEventListener("offline", lose);
  toggle();
  return () => {
    document.removeEventListener("visibilitychange", toggle);
    window.removeEventListener("online", reopen);
    window.removeEventListener("offline", lose);
    close();
  };
}

class SignInNeeded extends Error {}

/** Read events until the stream ends. `EventSource` would do, but it sends no `Authorization`. */
async function read(conversation, opened, onEvent) {
  let silence = setTimeout(() => opened.abort(), SILENCE);
  try {
    const response = await fetch(`page/events?conversation=${encodeURIComponent(conversation)}`, {
      headers: credentials(),
      signal: opened.signal,
      cache: "no-store",
    });
    if (response.status === 401) throw new SignInNeeded(await reason(response));
    if (!response.ok) throw new Refused(await reason(response));
    const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
    let text = "";
    for (;;) {
      const { value, done } = await reader.read();
      if (done || opened.signal.aborted) return;
      clearTimeout(silence);
      silence = setTimeout(() => opened.abort(), SILENCE);
      const events = (text + value).split("\n\n");
      text = events.pop();
      for (const event of events) dispatch(event, onEvent);
    }
  } finally {
    clearTimeout(silence);
  }
}

function dispatch(block, onEvent) {
  let name = "message";
  const data = [];
  for (const line of block.split("\n")) {
    if (line.startsWith("event: ")) name = line.slice(7);
    if (line.startsWith("data: ")) data.push(line.slice(6));
  }
  if (data.length) onEvent(name, JSON.parse(data.join("\n")));
}

async function reason(response) {
  const fallback = `The server answered ${response.status}.`;
  try {
    return sentence((await response.json()).error.message);
  } catch {
    return fallback;
  }
}

function sentence(text) {
  return text.charAt(0).toUpperCase() + text.slice(1) + (/[.!?]$/.test(text) ? "" : ".");
}

function credentials() {
  const key = sessionStorage.getItem(KEY);
  return key ? { Authorization: `Bearer ${key}` } : {};
}

/** Whose a key is, as far as the page can tell: a token names its user, and an API key stands for one. */
function ownerOf(key) {
  try {
    return JSON.parse(atob(key.split(".")[1].replaceAll("-", "+").replaceAll("_", "/"))).sub ?? key;
  } catch {
    return key; // no token
  }
}

/** Show nothing of the last user to the next one: no draft, no conversation, and no message that waits for a key. */
function startAnew() {
  for (const name of Object.keys(sessionStorage)) if (name.startsWith("draft:")) sessionStorage.removeItem(name);
  location.replace(location.pathname);
}

let signingIn = null;

/** Ask for a key, once for all requests that wait for it. */
function signIn(why) {
  const isRefused = sessionStorage.getItem(KEY) !== null;
  signingIn ??= new Promise((resolve) => {
    const dialog = $("sign-in");
    $("sign-in-problem").textContent = isRefused ? why : "";
    dialog.addEventListener("cancel", (event) => event.preventDefault());
    $("sign-in-form").addEventListener(
      "submit",
      () => {
        const [before, key] = [sessionStorage.getItem(KEY), $("key").value.trim()];
        sessionStorage.setItem(KEY, key);
        $("key").value = "";
        const isAnother = sessionStorage.getItem(ACCEPTED) && ownerOf(before) !== ownerOf(key);
        sessionStorage.removeItem(ACCEPTED);
        if (isAnother) return startAnew();
        signingIn = null;
        resolve();
      },
      { once: true },
    );
    dialog.showModal();
  });
  return signingIn;
}
