// The findings of a test, as they come. What the page has already is not sent again.
const findings = document.getElementById("findings");
const verdict = document.getElementById("verdict");
const stale = document.getElementById("stale");
const events = new EventSource(`${findings.dataset.events}?after=${findings.dataset.sent}`);

function made(html) {
  const template = document.createElement("template");
  template.innerHTML = html;
  return template.content;
}

events.addEventListener("step", (event) => {
  stale.hidden = true;
  const step = made(event.data).querySelector("li");
  document.getElementById(`steps-${step.dataset.at}`).append(step);
});
events.addEventListener("done", (event) => { verdict.replaceChildren(made(event.data)); events.close(); });
events.addEventListener("over", () => events.close());
events.onerror = () => { stale.hidden = false; };
addEventListener("pagehide", () => events.close());
