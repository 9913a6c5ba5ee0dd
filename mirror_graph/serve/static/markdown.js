// The Markdown that models write, as elements: paragraphs, headings, lists, quotations, code, bold and italic.
// Pictures, links and HTML stay text: a reply must not load or lead to anything.

import { h } from "./dom.js";

const INLINE = /`([^`\n]+)`|\*\*(?=\S)([^\n]*?\S)\*\*|\*(?=[^\s*])([^*\n]*?[^\s*])\*(?!\*)/;
const ITEM = /^(\s*)([-*+]|\d{1,9}[.)])\s+(.*)$/;

const DEEPEST = 8; // quotations in quotations: what lies deeper is shown as it is written

/** Return the blocks of a text, one element each. A block that is not finished yet is shown as far as it goes. */
export function markdown(text, depth = 0) {
  const lines = text.replace(/\r\n?/g, "\n").split("\n");
  const blocks = [];
  while (lines.length) {
    const line = lines[0];
    if (!line.trim()) lines.shift();
    else if (/^\s*```/.test(line)) blocks.push(fence(lines));
    else if (ITEM.test(line)) blocks.push(list(lines));
    else if (/^#{1,6}\s/.test(line)) blocks.push(h("p", { class: "title" }, inline(lines.shift().replace(/^#+\s+/, ""))));
    else if (/^>\s?/.test(line) && depth < DEEPEST) blocks.push(quotation(lines, depth));
    else blocks.push(paragraph(lines));
  }
  return blocks;
}

function fence(lines) {
  lines.shift();
  const code = [];
  while (lines.length && !/^\s*```/.test(lines[0])) code.push(lines.shift());
  lines.shift();
  return h("pre", { tabindex: 0 }, h("code", {}, code.join("\n")));
}

function list(lines) {
  const [, indent, mark] = ITEM.exec(lines[0]);
  const isOrdered = /\d/.test(mark);
  const element = h(isOrdered ? "ol" : "ul", isOrdered ? { start: parseInt(mark, 10) } : {});
  while (lines.length) {
    const found = ITEM.exec(lines[0]);
    if (!found || found[1].length < indent.length || /\d/.test(found[2]) !== isOrdered) break;
    if (found[1].length > indent.length + 1 && element.lastChild) {
      element.lastChild.append(list(lines));
      continue;
    }
    lines.shift();
    const words = [found[3]];
    while (lines.length && /^\s+\S/.test(lines[0]) && !ITEM.test(lines[0])) words.push(lines.shift().trim());
    element.append(h("li", {}, inline(words.join("\n"))));
    while (lines.length > 1 && !lines[0].trim() && ITEM.test(lines[1])) lines.shift();
  }
  return element;
}

function quotation(lines, depth) {
  const quoted = [];
  while (lines.length && /^>\s?/.test(lines[0])) quoted.push(lines.shift().replace(/^>\s?/, ""));
  return h("blockquote", {}, markdown(quoted.join("\n"), depth + 1));
}

function paragraph(lines) {
  const words = [lines.shift()];
  while (lines.length && lines[0].trim() && !/^(\s*```|#{1,6}\s|>)/.test(lines[0]) && !ITEM.test(lines[0])) {
    words.push(lines.shift());
  }
  return h("p", {}, inline(words.join("\n")));
}

function inline(text) {
  const parts = [];
  let rest = text;
  for (let found = INLINE.exec(rest); found; found = INLINE.exec(rest)) {
    parts.push(rest.slice(0, found.index));
    const [whole, code, bold, italic] = found;
    if (code !== undefined) parts.push(h("code", {}, code));
    else if (bold !== undefined) parts.push(h("strong", {}, inline(bold)));
    else parts.push(h("em", {}, inline(italic)));
    rest = rest.slice(found.index + whole.length);
  }
  return [...parts, rest];
}
