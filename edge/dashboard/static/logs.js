// New lines of the log on top of the others, as many as the page has at most; stopped while somebody reads.
const lines = document.getElementById("lines");
const pulse = document.getElementById("pulse");
const live = document.getElementById("live");
let events = null;

function add(html, all) {
  const template = document.createElement("template");
  template.innerHTML = html;
  if (all) lines.replaceChildren(template.content); else lines.prepend(template.content);
  document.getElementById("none").hidden = lines.children.length > 0;
  while (lines.children.length > Number(lines.dataset.most)) lines.lastElementChild.remove();
}

function start() {
  events = new EventSource(lines.dataset.events);
  events.onopen = () => { pulse.textContent = pulse.dataset.live; };
  events.addEventListener("all", (event) => add(event.data, true));
  events.addEventListener("lines", (event) => add(event.data, false));
  events.addEventListener("over", () => { stop(); location.reload(); });
  events.onerror = () => { pulse.textContent = pulse.dataset.stale; };
}

function stop() {
  events?.close();
  events = null;
  pulse.textContent = "";
}

live.hidden = false;
live.addEventListener("click", () => {
  const wasLive = events !== null;
  if (wasLive) stop(); else start();
  live.setAttribute("aria-pressed", String(!wasLive));
  live.textContent = wasLive ? live.dataset.go : live.dataset.stop;
});
addEventListener("pagehide", stop);
start();
