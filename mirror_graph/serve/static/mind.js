// The mind next to the chat: narrative, thoughts, the ledger as cards, and tokens.

import { $, announce, confirmed, h, show } from "./dom.js";

const ORDER = ["goals", "reasoning", "memory"];
const PAUSED = {
  off: "Thinking is off",
  "thread budget": "Paused: this conversation's tokens are spent",
  "daily budget": "Paused: today's tokens are spent",
};
const SEVERITIES = ["life-threatening", "serious", "preference"];
const DATE = new Intl.DateTimeFormat(undefined, { day: "numeric", month: "short", year: "numeric" });

let lastTurn = null;

/** Show the mind of `state`. `actions` has `change`, `erase` and `revealMessage`. */
export function showMind(state, actions) {
  const { mind, thoughts, ledger, messages } = state;
  const narrative = $("narrative");
  if (narrative.textContent !== mind.narrative) {
    narrative.textContent = mind.narrative;
    if (lastTurn !== null) restart(narrative, "arrives");
  }
  if (!mind.narrative) narrative.textContent = "Nothing yet. After each reply three thinkers read the exchange, and the narrative is rebuilt from their thoughts.";
  narrative.classList.toggle("quiet", !mind.narrative);
  if (lastTurn !== null && mind.turn > lastTurn) announce(`The narrative has read turn ${mind.turn}.`);
  lastTurn = mind.turn;
  showLag(mind, state.turn);
  showThoughts(mind, thoughts);
  showLedger(ledger, messages, actions);
  showTokens(mind.usage);
}

/** Forget what was shown, so that another conversation's mind does not arrive with motion. */
export function clearMind() {
  lastTurn = null;
  for (const id of ["thoughts", "ledger", "tokens", "messages"]) {
    $(id).replaceChildren();
    delete $(id).dataset.shown;
  }
}

/** Bring a card into view. */
export function revealCard(id) {
  const card = document.querySelector(`#ledger > [data-key="${CSS.escape(id)}"]`);
  card?.scrollIntoView({ block: "center", behavior: "smooth" });
  card?.focus({ preventScroll: true });
}

function restart(element, name) {
  element.classList.remove(name);
  void element.offsetWidth;
  element.classList.add(name);
}

function showLag(mind, turn) {
  const lag = $("lag");
  const isThinking = mind.lag > 0 && !mind.paused;
  const behind = `${mind.lag} ${mind.lag === 1 ? "turn" : "turns"} behind`;
  lag.textContent = PAUSED[mind.paused] ?? (mind.lag ? `Thinking, ${behind}` : mind.turn ? `Up to date, turn ${mind.turn}` : "");
  lag.className = isThinking ? "thinking" : "";
  const failed = Object.entries(mind.failures).filter(([, failure]) => failure.turn >= mind.turn);
  lag.title = failed.map(([name, failure]) => `${name} failed in turn ${failure.turn}: ${failure.error}`).join("\n");
  if (failed.length && !isThinking) lag.textContent += ` (${failed.map(([name]) => name).join(", ")} failed)`;
  $("mind-badge").textContent = isThinking ? "…" : "";
  $("open-mind").classList.toggle("thinking", isThinking && !turn);
}

function showThoughts(mind, arriving) {
  const names = [...new Set([...ORDER, ...Object.keys(mind.thoughts), ...Object.keys(arriving)])];
  const isUnderWay = Object.keys(arriving).length > 0;
  const items = names
    .map((name) => ({ name, text: arriving[name] ?? mind.thoughts[name], isOld: isUnderWay && !(name in arriving) }))
    .filter(({ text }) => text);
  // The text is part of the key: a new thought arrives, it does not replace letters in place.
  show($("thoughts"), items, ({ name, text }) => `${name}: ${text}`, ({ name, text, isOld }) =>
    h("li", { class: isOld ? "old" : "" }, h("h3", {}, name), h("p", {}, text)));
}

function showLedger(ledger, messages, actions) {
  const ids = new Set(messages.map(({ id }) => id));
  const items = ledger.map((entry) => ({ ...entry, isHere: ids.has(entry.source.message) }));
  const holding = ledger.filter(({ status }) => status !== "retracted").length;
  $("ledger-count").textContent = holding ? String(holding) : "";
  if (!items.length) {
    show($("ledger"), [{ id: "none" }], ({ id }) => id, () => h("li", { class: "quiet" }, "Nothing yet. An allergy, a fear or a boundary that you mention is noted here, in your own words."));
    return;
  }
  show($("ledger"), items, ({ id }) => id, (entry) => card(entry, actions));
}

function card(entry, actions) {
  const isRetracted = entry.status === "retracted";
  const words = entry.source.quote || entry.about;
  const element = h("li", { class: `card ${entry.severity} ${entry.status}`, tabindex: -1 },
    h("p", { class: "whose" }, h("span", { class: "person" }, whose(entry)), h("span", { class: "severity" }, isRetracted ? "retracted" : entry.severity)),
    h("blockquote", {}, `“${words}”`),
    h("p", { class: "why" }, `${entry.about} · ${entry.kind} · ${since(entry)}`));
  const button = (label, click, name = label) => h("button", { type: "button", class: "link", click, "aria-label": `${name}: ${entry.about}` }, label);
  const why = entry.isHere && button("Why?", () => actions.revealMessage(entry.source.message), "Show the message that mentions it");
  if (!entry.editable) {
    element.append(h("p", { class: "quiet" }, "Just noted. The next thinking pass reads it."), h("div", { class: "actions" }, why));
    return element;
  }
  element.append(h("div", { class: "actions" },
    why, button("Edit", () => editCard(element, entry, actions)),
    isRetracted
      ? button("Restore", () => actions.change(entry.id, { status: "active" }))
      : button("Retract", () => actions.change(entry.id, { status: "retracted" })),
    button("Forget", () => forgetCard(entry, actions))));
  return element;
}

function whose({ subject }) {
  return subject === "user" ? "You" : subject;
}

function since({ first_turn: turn, source }) {
  const date = source.recorded_at ? DATE.format(new Date(source.recorded_at * 1000)) : "";
  return ["since", date, turn ? `(turn ${turn})` : date ? "" : "now"].filter(Boolean).join(" ");
}

async function forgetCard(entry, actions) {
  const text = `“${entry.source.quote || entry.about}” is erased, in every conversation. To keep it on record without having it apply, retract it instead.`;
  if (await confirmed(`Forget ${entry.about}?`, text, "Forget")) actions.erase(entry.id);
}

function editCard(element, entry, actions) {
  const before = [...element.childNodes];
  const about = h("input", { type: "text", value: entry.about, required: true, maxlength: 200 });
  const subject = h("input", { type: "text", value: entry.subject === "user" ? "" : entry.subject, placeholder: "You", maxlength: 100 });
  const severity = h("select", {}, SEVERITIES.map((name) => h("option", { value: name, selected: name === entry.severity }, name)));
  const done = () => {
    delete element.dataset.busy;
    element.replaceChildren(...before);
    element.focus();
  };
  const save = async (event) => {
    event.preventDefault();
    const wanted = { about: about.value.trim(), severity: severity.value, subject: subject.value.trim() || "user" };
    const changes = Object.fromEntries(Object.entries(wanted).filter(([name, value]) => value !== entry[name]));
    if (!Object.keys(changes).length) return done();
    element.dataset.item = ""; // so that the next state is shown
    delete element.dataset.busy;
    if (!(await actions.change(entry.id, changes))) element.dataset.busy = "";
  };
  element.dataset.busy = "";
  element.replaceChildren(
    h("form", { class: "editing", submit: save, keydown: (event) => event.key === "Escape" && done() },
      h("label", {}, "What it is about", about), h("label", {}, "Whose it is", subject), h("label", {}, "How severe", severity),
      h("div", { class: "actions" },
        h("button", { type: "button", click: done }, "Cancel"),
        h("button", { type: "submit", class: "primary" }, "Save"))));
  about.focus();
}

function showTokens(usage) {
  const rows = Object.entries(usage).map(([name, { total }]) => ({ name, ...total }));
  const sum = rows.reduce((all, { input, output }) => all + input + output, 0);
  $("tokens-total").textContent = sum ? sum.toLocaleString() : "";
  show($("tokens"), rows, ({ name }) => name, ({ name, calls, input, cached, output }) =>
    h("tr", {}, h("th", { scope: "row" }, name), [calls, input, cached, output].map((count) => h("td", {}, count.toLocaleString()))));
}

/** Show the narratives in the history dialog, each with its difference from the one before it. */
export function showHistory(narratives) {
  const items = narratives.map(({ turn, parts }) =>
    h("li", {}, h("h3", {}, `After turn ${turn}`), h("p", {}, parts.map(([kind, text]) =>
      kind === "new" ? h("ins", {}, text) : kind === "gone" ? h("del", {}, text) : text))));
  $("narratives").replaceChildren(...(items.length ? items : [h("li", { class: "quiet" }, "There is no narrative yet.")]));
  $("history").showModal();
}
