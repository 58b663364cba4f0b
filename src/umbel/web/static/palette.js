// The palette: Ctrl-K or Cmd-K, then type where to go. An ARIA combobox over GET /api/v1/places; without scripts there is none.
"use strict";

{
  const LIST = "places";
  const WAIT = 80; // ms after a key
  const KINDS = { page: "page", view: "saved view", task: "task", name: "task name", worker: "worker", queue: "queue", search: "search tasks" };
  let dialog = null;
  let box = null;
  let list = null;
  let here = 0;
  let timer = 0;
  let asked = 0;

  function made() {
    if (dialog) return;
    dialog = document.createElement("dialog");
    dialog.id = "palette";
    dialog.ariaLabel = "Go to";
    box = document.createElement("input");
    box.type = "text";
    box.role = "combobox";
    box.ariaLabel = "Go to";
    box.ariaAutoComplete = "list";
    box.ariaExpanded = "true";
    box.placeholder = "Page, task name, worker, queue, view or task id";
    box.autocomplete = "off";
    box.spellcheck = false;
    box.maxLength = 500;
    box.setAttribute("aria-controls", LIST);
    list = document.createElement("ul");
    list.id = LIST;
    list.role = "listbox";
    list.ariaLabel = "Places";
    dialog.append(box, list);
    document.body.append(dialog);
    box.addEventListener("input", () => { clearTimeout(timer); timer = setTimeout(() => void ask(), WAIT); });
    box.addEventListener("keydown", onKey);
    list.addEventListener("click", (event) => { const option = event.target.closest("[role=option]"); if (option) go(option, event.ctrlKey || event.metaKey); });
    dialog.addEventListener("click", (event) => { if (event.target === dialog) dialog.close(); });
  }

  function toggle() {
    made();
    if (dialog.open) { dialog.close(); return; }
    for (const other of document.querySelectorAll("dialog[open]")) other.close();
    box.value = "";
    list.replaceChildren();
    dialog.showModal();
    void ask();
  }

  // Views of this browser are nobody else's business: the server does not know them.
  function own(typed) {
    return ownViews()
      .filter((view) => view.name.toLowerCase().includes(typed.toLowerCase()))
      .map((view) => ({ kind: "view", title: view.name, href: `${document.body.dataset.tasks}?${view.query}` }));
  }

  async function ask() {
    const turn = (asked += 1);
    const typed = box.value.trim();
    const url = new URL(document.body.dataset.places, location.href);
    url.searchParams.set("q", typed);
    try {
      const response = await fetch(url, { headers: { Accept: "application/json" } });
      const items = response.ok ? (await response.json()).items : [];
      if (turn === asked && dialog.open) show([...items.filter((item) => item.kind === "task"), ...own(typed), ...items.filter((item) => item.kind !== "task")]);
    } catch (error) {
      console.debug("no places:", error.message);
      if (turn === asked && dialog.open) show(own(typed));
    }
  }

  function show(items) {
    list.replaceChildren(...items.map((item, n) => {
      const option = document.createElement("li");
      const title = document.createElement("b");
      const kind = document.createElement("span");
      option.id = `${LIST}-${n}`;
      option.role = "option";
      option.dataset.href = item.href;
      title.textContent = item.title;
      kind.textContent = KINDS[item.kind] ?? item.kind;
      option.append(title, kind);
      return option;
    }));
    mark(0);
  }

  function mark(next) {
    here = next;
    [...list.children].forEach((option, n) => { option.ariaSelected = String(n === here); });
    const option = list.children[here];
    if (option) box.setAttribute("aria-activedescendant", option.id); else box.removeAttribute("aria-activedescendant");
    option?.scrollIntoView({ block: "nearest" });
  }

  function go(option, aside) {
    if (aside) { window.open(option.dataset.href, "_blank", "noopener"); return; }
    dialog.close();
    location.assign(option.dataset.href);
  }

  function onKey(event) {
    if (event.isComposing) return;
    const count = list.children.length;
    if (event.key === "ArrowDown" && count) mark((here + 1) % count);
    else if (event.key === "ArrowUp" && count) mark((here + count - 1) % count);
    else if (event.key === "Enter" && list.children[here]) go(list.children[here], event.ctrlKey || event.metaKey);
    else return;
    event.preventDefault();
  }

  document.addEventListener("keydown", (event) => {
    if (!(event.ctrlKey || event.metaKey) || event.altKey || event.shiftKey || event.key.toLowerCase() !== "k") return;
    event.preventDefault();
    event.stopPropagation();
    toggle();
  }, true);
  document.addEventListener("click", (event) => { if (event.target.closest("#open-palette")) toggle(); });
}
