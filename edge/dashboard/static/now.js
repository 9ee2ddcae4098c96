// The first page, live: the server sends its parts as they are drawn, and what differs is exchanged.
const now = document.getElementById("now");
const pulse = document.getElementById("pulse");
const said = document.getElementById("said");

let pressed = false;
let waiting = null;

// A button that is exchanged between being pressed and let go would never be clicked.
now.addEventListener("pointerdown", () => { pressed = true; });
for (const end of ["pointerup", "pointercancel"]) {
  addEventListener(end, () => setTimeout(() => {
    pressed = false;
    if (waiting !== null) exchange(waiting);
  }));
}

function exchange(html) {
  waiting = pressed ? html : null;
  if (pressed) return;
  const next = document.createElement("template");
  next.innerHTML = html;
  const before = headline(now);
  const focused = document.activeElement?.closest?.("form")?.outerHTML;
  for (const part of [...next.content.children]) {
    const here = [...now.children].find((one) => one.dataset.part === part.dataset.part);
    if (here && here.outerHTML !== part.outerHTML) here.replaceWith(part);
  }
  if (focused) [...now.querySelectorAll("form")].find((one) => one.outerHTML === focused)?.querySelector("button")?.focus();
  if (headline(now) !== before) {
    said.textContent = headline(now);
    document.title = headline(now) + " · " + document.title.split(" · ").slice(1).join(" · ");
  }
}

function headline(root) {
  return root.querySelector("#headline")?.textContent ?? "";
}

function start() {
  const events = new EventSource(now.dataset.events);
  events.addEventListener("parts", (event) => exchange(event.data));
  events.addEventListener("clock", (event) => { pulse.textContent = `${now.dataset.live} · ${event.data}`; now.classList.remove("stale"); });
  events.addEventListener("over", () => { events.close(); location.reload(); });
  events.onerror = () => {
    pulse.textContent = now.dataset.stale;
    now.classList.add("stale");
    if (events.readyState === EventSource.CLOSED) setTimeout(() => location.reload(), 5000);
  };
  addEventListener("pagehide", () => events.close());
}

addEventListener("pageshow", (event) => { if (event.persisted) location.reload(); });
start();
