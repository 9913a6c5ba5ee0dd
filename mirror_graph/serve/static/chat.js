// The chat: what was written, the reply under way, and what the guard added to a reply.

import { $, h, show } from "./dom.js";
import { markdown } from "./markdown.js";

/** Show the conversation of `state`. `actions` has `retake`, `edit`, `again` and `reveal` (a card of the ledger). */
export function showChat(state, actions) {
  const items = itemsOf(state);
  $("empty").hidden = items.length > 0;
  $("log").setAttribute("aria-busy", String(Boolean(state.turn?.status === "running")));
  show($("messages"), items, (item) => item.key, (item) => message(item, actions));
  if (isAtEnd) toEnd();
}

/** Show the end of the chat, and go on showing it as replies and the keyboard of a phone grow. */
export function toEnd() {
  isAtEnd = true;
  chat.scrollTop = chat.scrollHeight;
}

const chat = $("chat");
let isAtEnd = true;
chat.addEventListener("scroll", () => (isAtEnd = chat.scrollHeight - chat.scrollTop - chat.clientHeight < 80), { passive: true });
new ResizeObserver(() => isAtEnd && toEnd()).observe(chat);

/** Show where a constraint comes from: the message in which it was mentioned. */
export function revealMessage(id) {
  const element = document.querySelector(`#messages > [data-message="${CSS.escape(id)}"]`);
  element?.scrollIntoView({ block: "center", behavior: "smooth" });
  element?.focus({ preventScroll: true });
}

function itemsOf({ messages, turn, ledger }) {
  const items = [];
  let asked = "start";
  for (const [place, one] of messages.entries()) {
    // A message that is being edited, and a reply that is being made again, are shown as they will be.
    if (turn?.status === "running" && turn.id === one.id && place < messages.length - 1) {
      items.push({ key: one.id, ...one, text: turn.message });
      break;
    }
    if (one.role === "user") asked = one.id;
    const isUser = one.role === "user";
    items.push({ ...one, key: isUser ? one.id : `reply-to-${asked}`, touched: isUser ? [] : touchedBy(one, ledger) });
  }
  const last = items.at(-1);
  if (turn && !items.some((item) => item.id === turn.id)) items.push({ key: turn.id, id: turn.id, role: "user", text: turn.message });
  const stored = turn && items.find((item) => item.key === `reply-to-${turn.id}`);
  if (stored) stored.error = turn.error || "Stopped. This is the reply from before.";
  else if (turn) items.push({ key: `reply-to-${turn.id}`, role: "reply", text: turn.text, status: turn.status, error: turn.error });
  else if (last?.role === "user") items.push({ key: `reply-to-${last.id}`, role: "reply", text: "", status: "unanswered" });
  const lastAsked = items.findLast((item) => item.role === "user");
  if (lastAsked && turn?.status !== "running") lastAsked.isLast = true;
  if (items.at(-1)?.role === "reply") Object.assign(items.at(-1), { isLast: true, asked: lastAsked?.id, askedText: lastAsked?.text });
  return items;
}

function touchedBy(reply, ledger) {
  return (reply.guarded ?? []).map(({ constraint, words }) => {
    const entry = ledger.find((one) => one.id === constraint.split("@")[0]);
    return { id: entry?.id, words: words.join(", "), about: entry?.about, kind: entry?.kind, whose: entry?.subject };
  });
}

function message(item, actions) {
  return item.role === "user" ? asked(item, actions) : reply(item, actions);
}

function asked(item, actions) {
  const bubble = h("div", { class: "bubble" }, item.text);
  const element = h("li", { class: "asked", "data-message": item.id, tabindex: -1 }, h("span", { class: "hidden" }, "You: "), bubble);
  if (item.isLast) {
    const edit = h("button", { type: "button", class: "link", click: () => editing(element, item, actions) }, "Edit");
    edit.setAttribute("aria-label", "Edit your last message");
    element.append(h("div", { class: "actions" }, edit));
  }
  return element;
}

function editing(element, item, actions) {
  const before = [...element.childNodes];
  const box = h("textarea", { rows: 2, "aria-label": "Edit your message" });
  box.value = item.text;
  const done = () => {
    delete element.dataset.busy;
    element.replaceChildren(...before);
    element.querySelector("button")?.focus();
  };
  const save = async (event) => {
    event.preventDefault();
    if (box.value.trim() && (await actions.edit(box.value.trim(), item.id))) done();
  };
  const keys = (event) => {
    if (event.key === "Escape") done();
    else if (event.key === "Enter" && !event.shiftKey && !event.isComposing) save(event);
  };
  element.dataset.busy = "";
  element.replaceChildren(
    h("form", { class: "editing", submit: save, keydown: keys }, box,
      h("div", { class: "actions" },
        h("button", { type: "button", click: done }, "Cancel"),
        h("button", { type: "submit", class: "primary" }, "Send again"))),
  );
  box.focus();
}

function reply(item, actions) {
  const blocks = markdown(item.text);
  if (item.note && blocks.length) mark(blocks, item, actions);
  const isRunning = item.status === "running";
  const element = h("li", { class: `reply ${item.status ?? "whole"}`, tabindex: -1, "data-message": item.id },
    h("span", { class: "hidden" }, "MIRROR: "), h("div", { class: "text" }, blocks));
  if (isRunning && !item.text) element.append(h("p", { class: "waiting", "aria-label": "The reply is on its way" }, h("i"), h("i"), h("i")));
  const state = { stopped: "Stopped. This part of a reply is not stored.", unanswered: "This message has no reply." }[item.status] ?? item.error;
  if (state) element.append(h("p", { class: "state" }, state));
  if (item.isLast && !isRunning) element.append(replyActions(item, actions));
  return element;
}

function replyActions(item, actions) {
  const again = item.status
    ? h("button", { type: "button", class: "link", click: () => actions.again(item.asked, item.askedText) }, "Try again")
    : h("button", { type: "button", class: "link", click: () => actions.retake(item.asked, item.askedText) }, "Regenerate");
  return h("div", { class: "actions" }, again);
}

/** Mark the paragraph that the guard wrote, and name what touched what. */
function mark(blocks, item, actions) {
  const place = item.note === "first" ? 0 : blocks.length - 1;
  const touched = item.touched.map(({ id, words, about, kind, whose }) =>
    h("li", {}, words ? h("b", {}, words) : "this", " touches ",
      id ? h("button", { type: "button", class: "link", click: () => actions.reveal(id) }, about) : "what was forgotten since",
      id ? ` (${whose === "user" ? "" : `${whose}: `}${kind})` : ""));
  const note = h("div", { class: "note", role: "note", "aria-label": "Added by the guard" },
    h("p", { class: "label" }, "Added by the guard"), blocks[place], h("ul", { class: "touched" }, touched));
  blocks.splice(place, 1, note);
}
