// The page: which conversation is shown, what the user does, and how the parts follow the server's state.

import { revealMessage, showChat, toEnd } from "./chat.js";
import { $, announce, confirmed, h, show } from "./dom.js";
import { clearMind, revealCard, showHistory, showMind } from "./mind.js";
import { follow, problemOf, request } from "./server.js";

const MESSAGE = $("message");
let name = "";
let state = null;
let leave = () => {};
let sending = null; // the message under way to the server, with its id: sent again, it is answered once

const actions = {
  again: (id, text) => sent("messages", { id, text }),
  retake: (id, text) => sent("retake", { id, text }),
  edit: (text, id) => sent("edit", { id, text }),
  change: (id, changes) => attempt(() => request("PATCH", `v1/me/constraints/${encodeURIComponent(id)}`, changes)),
  erase: (id) => attempt(() => request("DELETE", `v1/me/constraints/${encodeURIComponent(id)}`)),
  reveal(id) {
    openPanel("mind");
    revealCard(id);
  },
  revealMessage(id) {
    openPanel("none");
    revealMessage(id);
  },
};

// --- the server's state

function onEvent(event, data) {
  if (event === "piece" && state?.turn) state.turn.text += data;
  else if (event === "state") {
    const wasRunning = state?.turn?.status === "running";
    state = { ...(state ?? {}), ...data };
    if (wasRunning && !state.turn) announce("The reply is complete.");
    if (wasRunning && state.turn?.status === "failed") announce(state.turn.error);
  }
  plan();
}

let planned = 0;

function plan() {
  planned ||= requestAnimationFrame(() => {
    planned = 0;
    if (state?.messages) draw();
  });
}

function draw() {
  const isRunning = state.turn?.status === "running";
  showChat(state, actions);
  showMind(state, actions);
  showConversations();
  const isFocused = [$("send"), $("stop")].includes(document.activeElement);
  $("stop").hidden = !isRunning;
  $("send").hidden = isRunning;
  if (isFocused && !isRunning) MESSAGE.focus();
  $("user").textContent = state.user ? `Signed in as ${state.user}` : "";
}

function showConversations() {
  const items = state.conversations.map((one) => ({ ...one, isOpen: one.name === name }));
  if (!items.some((one) => one.isOpen)) items.unshift({ name, title: "New conversation", isOpen: true, isNew: true });
  const title = items.find((one) => one.isOpen).title || "Untitled";
  $("title").textContent = title;
  document.title = `${title} – MIRROR`;
  show($("conversations"), items.map(({ name: one, title: its, isOpen, isNew }) => ({ one, its, isOpen, isNew })), ({ one }) => one, ({ one, its, isOpen, isNew }) =>
    h("li", { class: isOpen ? "open" : "" },
      h("a", { href: `#${encodeURIComponent(one)}`, "aria-current": isOpen ? "page" : null }, its || "Untitled"),
      !isNew && h("button", { type: "button", class: "icon", "aria-label": `Delete the conversation ${its}`, click: () => forget(one, its) }, "×")));
}

function onStatus(status, problem) {
  if (problem) $("problem").textContent = problem;
  const isAway = status !== "open";
  $("connection").textContent = isAway ? "Reconnecting…" : "";
  document.body.classList.toggle("away", isAway);
}

// --- what the user does

async function attempt(act) {
  try {
    await act();
    $("problem").textContent = "";
    return true;
  } catch (error) {
    $("problem").textContent = problemOf(error);
    return false;
  }
}

function sent(where, message) {
  return attempt(() => request("POST", `page/${where}`, { conversation: name, ...message }));
}

async function send() {
  const text = MESSAGE.value.trim();
  if (!text || state?.turn?.status === "running") return;
  const conversation = name;
  if (sending?.text !== text || sending.conversation !== conversation) sending = { conversation, text, id: newId() };
  if (!(await sent("messages", { id: sending.id, text }))) return;
  sending = null;
  // What was written meanwhile, or in another conversation, stays.
  if (name === conversation && MESSAGE.value.trim() === text) write("");
  else if (draftOf(conversation) === text) keep(conversation, "");
  toEnd();
}

async function forget(one, title) {
  const text = "The conversation and its mind are erased. What is noted for your safety stays: forget it on its card.";
  if (!(await confirmed(`Delete “${title}”?`, text, "Delete"))) return;
  if ((await attempt(() => request("POST", "page/forget", { conversation: one }))) && one === name) location.hash = newId();
}

function newId() {
  const bytes = crypto.getRandomValues(new Uint8Array(12));
  return [...bytes].map((byte) => byte.toString(16).padStart(2, "0")).join("");
}

// --- drafts: one per conversation, for as long as the tab lives

const draftOf = (conversation) => sessionStorage.getItem(`draft:${conversation}`) ?? "";

function keep(conversation, text) {
  if (text) sessionStorage.setItem(`draft:${conversation}`, text);
  else sessionStorage.removeItem(`draft:${conversation}`);
}

function write(text) {
  MESSAGE.value = text;
  keep(name, text);
  fit();
}

function fit() {
  if (CSS.supports("field-sizing", "content")) return;
  MESSAGE.style.height = "auto";
  MESSAGE.style.height = `${MESSAGE.scrollHeight}px`;
}

// --- panels: on a small screen the list and the mind lie over the chat

function openPanel(panel) {
  const before = document.body.dataset.panel;
  document.body.dataset.panel = panel;
  // What a panel covers must not take the focus.
  document.querySelector("main").inert = panel !== "none" && getComputedStyle($(panel)).position === "fixed";
  $("open-list").setAttribute("aria-expanded", String(panel === "list"));
  $("open-mind").setAttribute("aria-expanded", String(panel === "mind"));
  if (panel === "none" && before !== "none" && getComputedStyle($(`open-${before}`)).display !== "none") $(`open-${before}`).focus();
  if (panel === "mind") $("mind").focus();
  if (panel === "list") $("list").querySelector("button, a").focus();
}

document.addEventListener("click", ({ target }) => target === document.body && openPanel("none"));
for (const width of ["54rem", "75rem"]) matchMedia(`(max-width: ${width})`).addEventListener("change", () => openPanel("none"));

const toggle = (panel) => openPanel(document.body.dataset.panel === panel ? "none" : panel);

// --- start

function nameIn(hash) {
  try {
    return decodeURIComponent(hash.slice(1)).slice(0, 200);
  } catch {
    return ""; // no text of ours
  }
}

function enter() {
  name = nameIn(location.hash) || newId();
  if (nameIn(location.hash) !== name) history.replaceState(null, "", `#${name}`);
  leave();
  state = null;
  clearMind();
  openPanel("none");
  $("problem").textContent = "";
  toEnd();
  MESSAGE.value = draftOf(name);
  fit();
  leave = follow(name, onEvent, onStatus);
  if (matchMedia("(hover: hover)").matches) MESSAGE.focus();
}

$("composer").addEventListener("submit", (event) => {
  event.preventDefault();
  send();
});
MESSAGE.addEventListener("input", () => {
  keep(name, MESSAGE.value);
  fit();
});
MESSAGE.addEventListener("keydown", (event) => {
  if (event.key !== "Enter" || event.shiftKey || event.isComposing) return;
  event.preventDefault();
  send();
});
$("stop").addEventListener("click", () => attempt(() => request("POST", "page/stop", { conversation: name })));
$("new-conversation").addEventListener("click", () => (location.hash = newId()));
$("open-list").addEventListener("click", () => toggle("list"));
$("open-mind").addEventListener("click", () => toggle("mind"));
$("open-history").addEventListener("click", () =>
  attempt(async () => showHistory(await request("GET", `page/history?conversation=${encodeURIComponent(name)}`))));
$("confirm-yes").addEventListener("click", () => $("confirm").close("yes"));
for (const button of document.querySelectorAll("[data-close]")) button.addEventListener("click", () => button.closest("dialog").close(""));
document.addEventListener("keydown", (event) => {
  if (event.key !== "Escape" || document.querySelector("dialog[open]") || event.target.closest(".editing")) return;
  if (document.body.dataset.panel !== "none") openPanel("none");
  else if (state?.turn?.status === "running") $("stop").click();
});
window.addEventListener("hashchange", enter);

if (!location.hash) {
  const known = await request("GET", "page/conversations").catch(() => []);
  if (known.length) history.replaceState(null, "", `#${encodeURIComponent(known[0].name)}`);
}
enter();
