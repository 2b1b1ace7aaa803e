// The table's page: what is seen (live.js, panels.js, arms.js) and what an operator does.

import { $, text } from "./dom.js";
import { Arms } from "./arms.js";
import { Controls } from "./controls.js";
import { Live } from "./live.js";
import { Events, health, moves, shelf, timeline, troubles } from "./panels.js";
import { theme } from "./theme.js";
import { Wire } from "./wire.js";

theme($("theme"));
const wire = new Wire();
const controls = new Controls(wire);
const live = new Live(wire, (lan) => controls.move(lan));
const arms = new Arms($("views"), $("arms"));
const events = new Events($("events"), $("filters"));

function look(ply) {
  live.ply = ply;
  show(null);
}

function step(by) {
  const list = wire.view?.moves ?? [];
  if (!list.length) return;
  const last = list.at(-1).ply;
  const first = list[0].ply - 1;
  const to = Math.min(last, Math.max(first, (live.ply ?? last) + by));
  look(to === last ? null : to);
}

function felt({ connected, settled, differences }) {
  if (!connected) return "The board is not connected";
  if (!settled) return "Pieces are in motion";
  return differences.length ? "" : "The board feels what it should";
}

function zone({ known, leaseHolder, leaseToken, step }) {
  if (!known) return "nothing is known of them";
  if (!leaseHolder) return "the board is free";
  return step ?? `the ${leaseHolder} arm has the board (lease ${leaseToken})`;
}

/** `sections` null: everything. */
function show(sections) {
  const { view } = wire;
  if (!view) return;
  const changed = (...names) => sections === null || names.some((name) => sections.has(name));
  live.show();
  document.body.classList.toggle("looking-back", live.ply !== null);
  if (changed("moves", "session")) moves($("moves"), view, live.ply, look);
  if (changed("arms", "table")) {
    arms.show(view);
    shelf($("tray"), view.arms.tray);
    shelf($("rack"), view.arms.rack);
    text($("zone"), zone(view.arms));
  }
  if (changed("health", "models")) health($("health"), view);
  if (changed("events")) events.show(view);
  troubles($("troubles"), view, wire.me?.role === "operator", (action) => controls.act(action));
  text($("felt"), felt(view.board));
  $("legend").hidden = view.board.differences.length === 0;
  timeline($("timeline"), view, wire.now());
  controls.show();
}

wire.addEventListener("change", (event) => show(event.detail));
wire.addEventListener("me", () => { controls.who(); show(null); });
wire.addEventListener("link", () => {
  $("link").classList.toggle("live", wire.live);
  text($("link").querySelector(".word"), wire.live ? "live" : "link lost");
  controls.show();
  show(null);
});
window.setInterval(() => wire.view && timeline($("timeline"), wire.view, wire.now()), 200);
$("flip").addEventListener("click", () => { live.board.flip(); document.body.classList.toggle("flipped", live.board.flipped); show(null); });
$("first").addEventListener("click", () => step(-9999));
$("back").addEventListener("click", () => step(-1));
$("forth").addEventListener("click", () => step(1));
$("live").addEventListener("click", () => look(null));
$("moves").addEventListener("keydown", (event) => {
  const by = { ArrowLeft: -1, ArrowUp: -1, ArrowRight: 1, ArrowDown: 1, Home: -9999, End: 9999 }[event.key];
  if (by) { event.preventDefault(); step(by); }
});
new ResizeObserver(() => { if (live.ply === null) $("moves").scrollTop = $("moves").scrollHeight; }).observe($("moves"));
void wire.start();
