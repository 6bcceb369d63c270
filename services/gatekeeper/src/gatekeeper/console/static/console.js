// Live updates: what a page shows is fetched again when a message concerns it. Everything works without this file.
"use strict";
(() => {
  const SHORTEST = 1000, LONGEST = 60000;
  const live = document.body.dataset.live.trim();
  const state = document.getElementById("live");
  let seen = document.body.dataset.now, wait = SHORTEST, wanted = false, fetching = false;

  const main = () => document.getElementById("content");
  const say = (name, text) => { state.dataset.state = name; state.textContent = text; };
  const concerns = (models) => live === "*" || models.includes("*") || live.split(" ").some((name) => models.includes(name));
  const path = (element) => {  // where an element is in its page: to find it again in the next one
    const found = [];
    for (let each = element; each !== main(); each = each.parentElement) {
      found.unshift([...each.parentElement.children].indexOf(each));
    }
    return found;
  };
  const at = (found, page) => found.reduce((each, number) => each && each.children[number], page);
  const changed = (field) => field.type === "checkbox" || field.type === "radio"
    ? field.checked !== field.defaultChecked
    : field.tagName === "SELECT" ? [...field.options].some((each) => each.selected !== each.defaultSelected)
    : field.value !== field.defaultValue;
  const busy = () => [...main().querySelectorAll("input:not([type=hidden]), textarea, select")]
    .some((field) => field === document.activeElement || changed(field));

  const refresh = async () => {
    if (fetching || document.hidden || busy()) { wanted = true; return; }
    fetching = true; wanted = false;
    try {
      const response = await fetch(location.href, { headers: { Accept: "text/html" } });
      const next = new DOMParser().parseFromString(await response.text(), "text/html").getElementById("content");
      if (response.ok && next && !busy() && next.innerHTML !== main().innerHTML) {
        const focused = main().contains(document.activeElement) ? path(document.activeElement) : null;
        const open = [...main().querySelectorAll("details")].filter((each) => each.open).map(path);
        const scrolled = [...main().querySelectorAll(".scroll")].map((each) => [path(each), each.scrollLeft]);
        main().replaceWith(document.importNode(next, true));
        for (const each of open) { const found = at(each, main()); if (found && found.tagName === "DETAILS") found.open = true; }
        for (const [each, left] of scrolled) { const found = at(each, main()); if (found) found.scrollLeft = left; }
        if (focused) { const found = at(focused, main()); if (found) found.focus({ preventScroll: true }); }
        say("live", "updated " + new Date().toLocaleTimeString());
      } else if (response.status === 401) { say("lost", "not live: log in again"); }
    } catch { say("lost", "not live"); }
    fetching = false;
    if (wanted && !busy() && !document.hidden) refresh();
  };

  // A browser has six connections to a host for all its pages: a page that nobody sees holds none.
  let source = null, timer = 0;
  const disconnect = () => { clearTimeout(timer); if (source) source.close(); source = null; };
  const connect = () => {
    disconnect();
    if (document.hidden) return;
    source = new EventSource("/console/live?since=" + encodeURIComponent(seen));
    source.onopen = () => { wait = SHORTEST; say("live", "live"); };
    source.addEventListener("change", (message) => {
      seen = message.lastEventId || seen;
      if (concerns(JSON.parse(message.data).models)) refresh();
    });
    source.onerror = () => {
      disconnect(); say("lost", "not live");
      timer = setTimeout(connect, wait * (0.5 + Math.random() / 2)); wait = Math.min(2 * wait, LONGEST);
    };
  };
  if (live) {
    connect();
    addEventListener("pagehide", disconnect);
    addEventListener("pageshow", (event) => { if (event.persisted) connect(); });
    document.addEventListener("visibilitychange", () => {
      if (document.hidden) { disconnect(); say("paused", "paused"); return; }
      wait = SHORTEST; connect();
      if (wanted) refresh();
    });
    document.addEventListener("focusout", () => setTimeout(() => { if (wanted) refresh(); }));
  }
  document.addEventListener("submit", (event) => {  // a double click is one decision
    if (event.target.dataset.sent) event.preventDefault();
    event.target.dataset.sent = "yes";
  });
  addEventListener("pageshow", () => { for (const form of document.forms) delete form.dataset.sent; });
})();
