// What may follow in the search box: an ARIA combobox over GET /api/v1/suggest. Without it the box is a plain input.
"use strict";

{
  const LIST = "suggestions";
  const WAIT = 120; // ms after a key
  let list = null;
  let answer = null; // what the server said, for the text that stands in the box
  let here = -1;
  let timer = 0;
  let asked = 0;

  const box = (event) => event.target.closest?.("input[data-suggest]");
  const isOpen = () => Boolean(list && !list.hidden);
  // The server counts characters, the browser counts UTF-16 units.
  const characters = (text) => [...text];
  const units = (text, count) => characters(text).slice(0, count).join("").length;

  function prepare(input) {
    if (!list) {
      list = document.createElement("ul");
      list.id = LIST;
      list.role = "listbox";
      list.ariaLabel = "Suggestions";
      list.hidden = true;
      document.body.append(list);
      list.addEventListener("mousedown", (event) => {
        event.preventDefault(); // the box keeps the focus
        const option = event.target.closest("[role=option]");
        if (option) accept(document.activeElement, [...list.children].indexOf(option));
      });
    }
    input.role = "combobox";
    input.ariaAutoComplete = "list";
    input.setAttribute("aria-controls", LIST);
    input.ariaExpanded = String(isOpen());
    if (here < 0) input.removeAttribute("aria-activedescendant");
    else input.setAttribute("aria-activedescendant", `${LIST}-${here}`);
  }

  function close(input) {
    clearTimeout(timer);
    asked += 1;
    here = -1;
    if (list) list.hidden = true;
    if (input) prepare(input);
  }

  function show(input) {
    list.replaceChildren(...answer.items.map((item, n) => {
      const option = document.createElement("li");
      option.id = `${LIST}-${n}`;
      option.role = "option";
      option.ariaSelected = "false";
      const text = document.createElement("b");
      const about = document.createElement("span");
      text.textContent = item.text;
      about.textContent = item.detail;
      option.append(text, about);
      return option;
    }));
    const place = input.getBoundingClientRect();
    list.style.left = `${place.left + scrollX}px`;
    list.style.top = `${place.bottom + scrollY + 4}px`;
    list.style.width = `${place.width}px`;
    here = -1;
    list.hidden = !answer.items.length;
    prepare(input);
  }

  function mark(input, next) {
    here = next;
    [...list.children].forEach((option, n) => { option.ariaSelected = String(n === here); });
    list.children[here]?.scrollIntoView({ block: "nearest" });
    prepare(input);
  }

  async function ask(input) {
    const turn = (asked += 1);
    const url = new URL(input.dataset.suggest, location.href);
    url.searchParams.set("q", input.value);
    url.searchParams.set("at", characters(input.value.slice(0, input.selectionStart ?? input.value.length)).length);
    try {
      const response = await fetch(url, { headers: { Accept: "application/json" } });
      if (turn !== asked || document.activeElement !== input) return;
      if (!response.ok) { close(input); return; }
      answer = await response.json();
      if (turn === asked) show(input);
    } catch (error) {
      console.debug("no suggestions:", error.message);
      close(input);
    }
  }

  function soon(input) {
    clearTimeout(timer);
    timer = setTimeout(() => void ask(input), WAIT);
  }

  function accept(input, n) {
    const item = answer.items[n];
    const start = units(input.value, answer.start);
    const end = units(input.value, answer.end);
    const text = item.kind === "field" ? item.text : `${item.text} `;
    const after = input.value.slice(end);
    input.setRangeText(text.endsWith(" ") && after.startsWith(" ") ? item.text : text, start, end, "end");
    close(input);
    if (item.kind === "field") void ask(input);
  }

  function onKey(event) {
    const input = box(event);
    if (!input || event.isComposing) return;
    const last = isOpen() ? list.children.length - 1 : -1;
    if (event.key === "ArrowDown" && !isOpen()) void ask(input);
    else if (event.key === "ArrowDown") mark(input, here >= last ? 0 : here + 1);
    else if (event.key === "ArrowUp" && isOpen()) mark(input, here <= 0 ? last : here - 1);
    else if (event.key === "Escape" && isOpen()) close(input);
    else if ((event.key === "Enter" || event.key === "Tab") && isOpen() && here >= 0) accept(input, here);
    else return;
    event.preventDefault();
    event.stopPropagation();
  }

  document.addEventListener("keydown", onKey, true);
  document.addEventListener("focusin", (event) => { const input = box(event); if (input) prepare(input); });
  document.addEventListener("focusout", (event) => { const input = box(event); if (input) close(input); });
  document.addEventListener("input", (event) => { const input = box(event); if (input) soon(input); });
}
