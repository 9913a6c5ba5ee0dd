// Elements without HTML: text is only ever text, whatever a model or a user wrote.

/** Make an element. `properties` are attributes, or listeners if they are functions; children are nodes or texts. */
export function h(name, properties = {}, ...children) {
  const element = document.createElement(name);
  for (const [key, value] of Object.entries(properties)) {
    if (typeof value === "function") element.addEventListener(key, value);
    else if (value === true) element.setAttribute(key, "");
    else if (value !== false && value !== undefined && value !== null) element.setAttribute(key, value);
  }
  element.append(...children.flat().filter((child) => child !== null && child !== undefined && child !== false));
  return element;
}

export const $ = (id) => document.getElementById(id);

/**
 * Make the children of `parent` show `items`, in order. An element whose item did not change stays as it is, so that a
 * selection, the focus and a half-written edit survive. A new one gets the class `arrives` once `parent` has been shown.
 */
export function show(parent, items, key, make) {
  const before = new Map([...parent.children].map((child) => [child.dataset.key, child]));
  const isFirst = !parent.dataset.shown;
  parent.dataset.shown = "yes";
  items.forEach((item, place) => {
    const name = String(key(item));
    const written = JSON.stringify(item);
    let element = before.get(name);
    before.delete(name);
    if (!element || element.dataset.item !== written) {
      if (element?.matches("[data-busy]")) {
        // The user is writing in it: what changed is shown when they are done.
      } else {
        const fresh = make(item);
        fresh.dataset.key = name;
        fresh.dataset.item = written;
        if (!isFirst && !element) fresh.classList.add("arrives");
        element?.replaceWith(fresh);
        element = fresh;
      }
    }
    if (parent.children[place] !== element) parent.insertBefore(element, parent.children[place] ?? null);
  });
  for (const gone of before.values()) gone.remove();
}

let speaking = 0;

/** Let a screen reader say something. */
export function announce(text) {
  $("announcer").textContent = "";
  clearTimeout(speaking);
  speaking = setTimeout(() => ($("announcer").textContent = text), 50);
}

/** Ask before something that cannot be undone. */
export function confirmed(heading, text, yes) {
  const dialog = $("confirm");
  $("confirm-heading").textContent = heading;
  $("confirm-text").textContent = text;
  $("confirm-yes").textContent = yes;
  dialog.returnValue = "";
  dialog.showModal();
  return new Promise((resolve) =>
    dialog.addEventListener("close", () => resolve(dialog.returnValue === "yes"), { once: true }),
  );
}
