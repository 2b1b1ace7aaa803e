import { $, text } from "./dom.js";
import { Live, lastMove } from "./live.js";
import { timeline, troubles } from "./panels.js";
import { theme } from "./theme.js";
import { Wire } from "./wire.js";

theme(null);
const wire = new Wire();
const live = new Live(wire);
wire.addEventListener("change", () => {
  live.show();
  text($("last"), lastMove(wire.view));
  timeline($("timeline"), wire.view, wire.now());
  troubles($("troubles"), wire.view, false, () => {});
});
window.setInterval(() => wire.view && timeline($("timeline"), wire.view, wire.now()), 200);
void wire.start();
