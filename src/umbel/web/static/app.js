// What a page does beyond its first paint: local times, live refresh, keys, theme, copying.
// A refresh fetches the page's own address and morphs #page; the server has no second way to render it.
"use strict";

const $ = (selector, root = document) => root.querySelector(selector);
const $$ = (selector, root = document) => [...root.querySelectorAll(selector)];
const page = () => $("#page");

// Times: the browser's zone, UTC on hover; those marked data-rel count up.
const clockFormat = new Intl.DateTimeFormat(undefined, { hour: "2-digit", minute: "2-digit", second: "2-digit", hourCycle: "h23" });
const dayFormat = new Intl.DateTimeFormat(undefined, { month: "short", day: "numeric" });
const yearFormat = new Intl.DateTimeFormat(undefined, { year: "numeric", month: "short", day: "numeric" });

function clockTime(moment, fine) {
  const now = new Date();
  const clock = clockFormat.format(moment) + (fine ? `.${String(moment.getMilliseconds()).padStart(3, "0")}` : "");
  if (moment.toDateString() === now.toDateString()) return clock;
  return `${(moment.getFullYear() === now.getFullYear() ? dayFormat : yearFormat).format(moment)} ${clock}`;
}

// `past`: the word before a time that is over, such as "due".
function since(moment, past) {
  const seconds = Math.round((Date.now() - moment) / 1000);
  const ahead = seconds < 0;
  const s = Math.abs(seconds);
  const text = s < 60 ? `${s} s` : s < 600 ? `${Math.floor(s / 60)} m ${s % 60} s` : s < 3600 ? `${Math.floor(s / 60)} m`
    : s < 86400 ? `${Math.floor(s / 3600)} h ${Math.floor((s % 3600) / 60)} m` : `${Math.floor(s / 86400)} d ${Math.floor((s % 86400) / 3600)} h`;
  return ahead ? `in ${text}` : `${past ? `${past} ` : ""}${text} ago`;
}

function showTimes(root) {
  for (const time of $$("time[datetime]", root)) {
    const moment = new Date(time.dateTime);
    if (Number.isNaN(moment.getTime())) continue;
    const text = time.dataset.rel === undefined ? clockTime(moment, time.dataset.fine !== undefined) : since(moment, time.dataset.rel);
    if (time.textContent !== text) time.textContent = text;
  }
}

// Live: hints say that something changed; at most one refresh each `every`, none while hidden, paused or in use.
const live = { source: null, paused: false, wanted: false, running: false, lost: false, last: 0, took: 0, timer: 0 };
const SLOWEST = 5000; // a stalled pipeline gives no hints, and its page must still show that

function every() {
  return Number(page().dataset.every || 2000);
}

function inUse() {
  const selection = document.getSelection();
  const marking = selection && !selection.isCollapsed && page().contains(selection.anchorNode);
  return Boolean(marking || inList() || $("dialog[open]") || $("details.help[open]") || $("#suggestions:not([hidden])"));
}

// While the keyboard or a click has the focus on a row, no row changes under it.
function inList() {
  const rows = $("#rows", page());
  return Boolean(rows && rows.contains(document.activeElement));
}

function wantRefresh() {
  live.wanted = true;
  if (live.timer || live.running || live.paused || document.hidden) return;
  // A search that takes long is asked for rarely: a browser left open costs the server a sixth of a core at most.
  const wait = Math.max(0, live.last + Math.max(every(), 5 * live.took) - performance.now());
  live.timer = setTimeout(() => { live.timer = 0; void tick(); }, wait);
}

async function tick() {
  if (!live.wanted || live.paused || document.hidden) return;
  if (inUse()) { setTimeout(wantRefresh, 500); return; }
  live.wanted = false;
  await refresh();
  if (live.wanted) wantRefresh();
}

function address(fresh) {
  const url = new URL(location.href);
  url.hash = "";
  if (!fresh && page().dataset.keep !== undefined) {
    for (const row of $$("tr[data-id]", page())) url.searchParams.append("since", row.dataset.id);
  }
  return url.pathname + url.search;
}

async function refresh(fresh = false) {
  live.running = true;
  const began = performance.now();
  if (fresh) for (const kept of $$("[hx-morph-skip]:not(.plot)", page())) kept.removeAttribute("hx-morph-skip");
  try {
    await htmx.ajax("GET", address(fresh), { source: "#page", target: "#page", select: "#page", swap: "outerMorph", selectOOB: "#flow:outerMorph" });
  } finally {
    live.running = false;
    live.last = performance.now();
    // One that failed tells nothing of how long answers take: it may be tried again soon, though not at once.
    live.took = live.lost ? SLOWEST / 5 : live.last - began;
  }
}

function showLive() {
  const button = $("#live");
  if (!button) return;
  button.setAttribute("aria-pressed", String(live.paused));
  button.classList.toggle("lost", live.lost && !live.paused);
  button.classList.toggle("held", inList() && !live.paused && !live.lost);
  showTrouble();
  $("span:last-child", button).textContent = live.paused ? "Paused" : live.lost ? "No connection" : inList() ? "Held" : "Live";
}

function connect() {
  if (live.source || document.hidden || live.paused || !document.body.dataset.hints) return;
  live.source = new EventSource(document.body.dataset.hints);
  live.source.onopen = () => { if (live.lost) wantRefresh(); live.lost = false; showLive(); };
  live.source.onmessage = wantRefresh;
  live.source.onerror = () => {
    live.lost = true;
    showLive();
    if (live.source && live.source.readyState === EventSource.CLOSED) { disconnect(); setTimeout(connect, 3000 + Math.random() * 2000); }
  };
}

function disconnect() {
  if (live.source) live.source.close();
  live.source = null;
}

function pause(paused) {
  live.paused = paused;
  if (paused) disconnect(); else { connect(); wantRefresh(); }
  showLive();
}

// Title and icon tell of trouble to who looks at another tab; an Umbel that does not answer is trouble too.
function showTrouble() {
  const trouble = live.lost && !live.paused ? "down" : page().dataset.trouble;
  const icon = $("#favicon");
  if (!icon || !icon.dataset[trouble] || !document.body.dataset.hints) return;
  if (icon.getAttribute("href") !== icon.dataset[trouble]) icon.href = icon.dataset[trouble];
  const title = (trouble === "ok" ? "" : "⚠ ") + document.title.replace(/^⚠ /, "");
  if (document.title !== title) document.title = title;
}

// A page that is not live: how the pipeline fares is taken from the one that is about it.
const STILL = 15000;
async function lookAtPipeline() {
  try {
    const answer = await fetch($("#flow").href, { signal: AbortSignal.timeout(STILL) });
    if (!answer.ok) throw new Error(`${answer.status}`);
    const other = new DOMParser().parseFromString(await answer.text(), "text/html");
    const flow = $("#flow", other);
    if (flow) { $("#flow").replaceWith(flow); page().dataset.trouble = $("#page", other).dataset.trouble; }
    live.lost = false;
  } catch (error) { live.lost = true; console.debug("the pipeline is not known:", error.message); }
  showTrouble();
}

function afterRefresh() {
  showTrouble();
  const said = $("#announce");
  const news = $("#news")?.textContent.trim() ?? "";
  if (said && said.textContent !== news) said.textContent = news;
  showLive();
  showTicks();
  showViews();
  window.umbelCharts?.draw();
}

// Keys: none of them does anything while a field has the focus.
function rows() {
  return $$("tbody tr[data-href]", page());
}

function step(by) {
  const all = rows();
  if (!all.length) return;
  const at = all.findIndex((row) => row.classList.contains("here"));
  const next = all[Math.min(all.length - 1, Math.max(0, at < 0 ? 0 : at + by))];
  for (const row of all) row.classList.toggle("here", row === next);
  $("a", next)?.focus({ preventScroll: true });
  next.scrollIntoView({ block: "nearest" });
}

const keys = {
  "/": () => { const box = $("#q"); if (box) { box.focus(); box.select(); } else location.assign($('.tabs [data-key="t"]').href + "#q"); },
  "?": () => { const shown = $("#keys"); if (shown.open) shown.close(); else shown.showModal(); },
  p: () => pause(!live.paused),
  j: () => step(1),
  k: () => step(-1),
  n: () => $("#news a")?.click(),
  t: () => $("#theme")?.click(),
};

let going = 0;
function onKey(event) {
  if (event.ctrlKey || event.metaKey || event.altKey) return;
  if (event.target.closest?.("input, select, textarea, [contenteditable]")) {
    if (event.key === "Escape") event.target.blur();
    return;
  }
  if (performance.now() - going < 1200) {
    going = 0;
    const link = $(`.tabs [data-key="${CSS.escape(event.key)}"]`);
    if (link) { event.preventDefault(); link.click(); return; }
  }
  if (event.key === "g") { going = performance.now(); return; }
  const action = keys[event.key];
  if (!action || ($("dialog[open]") && event.key !== "?")) return;
  event.preventDefault();
  action();
}

// Ticks: what the bulk actions are about.
function showTicks() {
  const boxes = $$("#rows .tick input", page());
  const ticked = boxes.filter((box) => box.checked).length;
  const all = $("#tick-all");
  if (all) { all.checked = ticked > 0 && ticked === boxes.length; all.indeterminate = ticked > 0 && ticked < boxes.length; }
  const said = $("#ticked");
  if (said) said.textContent = ticked ? String(ticked) : "none";
}

function onChange(event) {
  if (event.target.id === "tick-all") for (const box of $$("#rows .tick input", page())) box.checked = event.target.checked;
  if (event.target.closest?.(".tick")) showTicks();
}

// Columns: moved within the list before it is sent, and remembered for the next bare address (theme.js).
function remember(columns) {
  try { if (columns) localStorage.setItem("umbel-columns", columns); else localStorage.removeItem("umbel-columns"); } catch (error) { console.debug("the columns are not remembered:", error.message); }
}

// Saved views of this browser: names and addresses.
const VIEWS = "umbel-views";
const MOST_VIEWS = 50;
function ownViews() {
  try {
    const known = JSON.parse(localStorage.getItem(VIEWS) || "[]");
    return Array.isArray(known) ? known.filter((view) => typeof view?.name === "string" && typeof view?.query === "string") : [];
  } catch (error) { console.debug("no saved views:", error.message); return []; }
}

function keepViews(views) {
  try { localStorage.setItem(VIEWS, JSON.stringify(views.slice(0, MOST_VIEWS))); } catch (error) { console.debug("the views are not remembered:", error.message); }
  showViews();
}

function showViews() {
  const list = $("#own-views");
  if (!list) return;
  const views = ownViews();
  list.replaceChildren(...views.map((view) => {
    const item = document.createElement("li");
    const link = document.createElement("a");
    const gone = document.createElement("button");
    link.href = `${list.dataset.base}?${view.query}`;
    link.textContent = view.name;
    gone.type = "button";
    gone.className = "button small";
    gone.textContent = "Delete";
    gone.ariaLabel = `Delete the view ${view.name}`;
    gone.addEventListener("click", (event) => { event.stopPropagation(); keepViews(ownViews().filter((one) => one.name !== view.name)); });
    item.append(link, gone);
    return item;
  }));
  const aside = list.closest(".aside");
  if (aside) aside.hidden = !views.length;
  if (!views.length) list.append(Object.assign(document.createElement("li"), { className: "quiet", textContent: "None yet." }));
}

function saveOwn(form) {
  const name = form.elements.name.value.trim();
  if (!name) return;
  keepViews([{ name, query: form.elements.query.value }, ...ownViews().filter((view) => view.name !== name)]);
  form.elements.name.value = "";
}

function onSubmit(event) {
  if (event.target.id === "save-view" && (event.submitter?.value === "own" || !$("button.primary", event.target))) { event.preventDefault(); saveOwn(event.target); return; }
  if (event.target.id !== "columns") return;
  const left = event.submitter?.name === "left" ? event.submitter : null;
  if (!left) { remember($$("input[name=cols]:checked", event.target).map((box) => box.value).join(",")); return; }
  event.preventDefault();
  const item = left.closest("li");
  item.previousElementSibling?.before(item);
  left.focus();
}

// Theme: system, light, dark, and round again.
const THEMES = ["system", "light", "dark"];
function theme(next) {
  const current = document.documentElement.dataset.theme || "system";
  const chosen = next ? THEMES[(THEMES.indexOf(current) + 1) % THEMES.length] : current;
  if (chosen === "system") delete document.documentElement.dataset.theme;
  else document.documentElement.dataset.theme = chosen;
  try { localStorage.setItem("umbel-theme", chosen); } catch (error) { console.debug("the theme is not remembered:", error.message); }
  const button = $("#theme");
  const use = $("use", button);
  use.setAttribute("href", use.getAttribute("href").replace(/#.*/, `#${chosen === "system" ? "theme" : chosen}`));
  button.title = `Theme: ${chosen}`;
  button.setAttribute("aria-label", `Theme: ${chosen}. Change`);
  if (next) window.umbelCharts?.redraw();
}

async function copy(button) {
  const text = $(button.dataset.copy ?? "", page())?.textContent ?? button.dataset.text ?? "";
  let done = "Copied";
  try { await navigator.clipboard.writeText(text); } catch (error) { done = "Select and copy"; console.debug("no clipboard:", error.message); }
  button.textContent = done;
  setTimeout(() => { button.textContent = "Copy"; }, 1500);
}

function onClick(event) {
  const target = event.target;
  if (target.closest("#usual-columns")) remember("");
  else if (target.closest("#live")) pause(!live.paused);
  else if (target.closest("#theme")) theme(true);
  else if (target.closest("#show-keys")) keys["?"]();
  else if (target.closest("[data-copy], [data-text]")) void copy(target.closest("[data-copy], [data-text]"));
  else if (target.closest("#news a") && !event.ctrlKey && !event.metaKey) { event.preventDefault(); void refresh(true); }
  else if (!target.closest("details.help")) for (const open of $$("details.help[open]")) open.open = false;
}

document.addEventListener("DOMContentLoaded", () => {
  showTimes(document);
  theme(false);
  for (const hidden of $$("[data-script]")) hidden.hidden = false;
  if (location.hash === "#q") $("#q")?.focus();
  if (page().dataset.every) connect();
  afterRefresh();
  setInterval(() => { if (!document.hidden) showTimes(document); }, 1000);
  if (!page().dataset.every && $("#flow")) setInterval(() => { if (!document.hidden) void lookAtPipeline(); }, STILL);
  setInterval(() => { if (page().dataset.every && performance.now() - live.last > Math.max(SLOWEST, every())) wantRefresh(); }, 1000);
});
document.addEventListener("htmx:before:swap", (event) => {
  const error = event.detail.ctx.response?.status >= 500;
  if (error) event.preventDefault(); // what is shown stays; the next refresh tries again
  live.lost = Boolean(error);
  showLive();
  for (const task of event.detail.tasks) {
    for (const hidden of $$("[data-script]", task.fragment)) hidden.hidden = false;
    showTimes(task.fragment);
    const marked = $("tr.here", page())?.dataset.id;
    if (marked) $(`tr[data-id="${CSS.escape(marked)}"]`, task.fragment)?.classList.add("here");
    for (const box of $$("#rows .tick input:checked", page())) $(`.tick input[value="${CSS.escape(box.value)}"]`, task.fragment)?.setAttribute("checked", "");
  }
});
document.addEventListener("htmx:error", () => { live.lost = true; showLive(); });
document.addEventListener("htmx:after:swap", afterRefresh);
document.addEventListener("visibilitychange", () => { if (document.hidden) disconnect(); else if (page().dataset.every) { connect(); wantRefresh(); } else if ($("#flow")) void lookAtPipeline(); });
document.addEventListener("keydown", onKey);
document.addEventListener("click", onClick);
document.addEventListener("change", onChange);
document.addEventListener("submit", onSubmit);
document.addEventListener("focusin", showLive);
document.addEventListener("focusout", () => setTimeout(showLive, 0));
