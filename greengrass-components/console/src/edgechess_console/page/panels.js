// What stands beside the board: players, moves, timeline, health, events, troubles.

import { el, svg, replace, text, seconds, clock, time, judged, pieceName, $ } from "./dom.js";
import { piece } from "./pieces.js";
import { numbered } from "./words.js";

export const PHASES = { think: "Player thinks", "board-before": "Board checked", arm: "Arm moves", "board-after": "Board checked again" };
const VALUES = { p: 1, n: 3, b: 3, r: 5, q: 9, k: 0 };
const ACTIONS = { recover: "The arms may move again", refilled: "Trays empty, racks full", park: "Park the arms", pause: "Pause", resume: "Go on", setup: "Let the arms set up" };

export function player(node, view, color, now) {
  const one = view.players[color] ?? {};
  const top = node.querySelector.bind(node);
  text(top(".name"), one.name || (color === "w" ? "White" : "Black"));
  top(".name").title = one.word ?? "";
  const running = view.turn?.color === color && view.session.status === "running" && !view.session.paused;
  text(top(".clock"), clock((one.usedS ?? 0) + (running ? Math.max(0, now - view.turn.since) : 0)));
  node.classList.toggle("turn", running || (view.session.phase !== null && view.timeline.color === color && view.session.status === "running"));
  const offers = view.session.drawOffers.includes(color) ? "offers a draw" : "";
  text(top(".doing"), [offers, doing(view, one, color, running)].filter(Boolean).join(" · "));
  const lost = view.session.captured?.[color === "w" ? "b" : "w"] ?? "";
  const other = view.session.captured?.[color] ?? "";
  const key = lost + other;
  const shelf = top(".captured");
  if (shelf.dataset.key !== key) {
    shelf.dataset.key = key;
    const ordered = [...lost].sort((a, b) => VALUES[b.toLowerCase()] - VALUES[a.toLowerCase()]);
    const lead = worth(lost) - worth(other);
    replace(shelf, ...ordered.map((letter) => piece(letter, "small")), lead > 0 ? el("span", { class: "lead", text: `+${lead}` }) : null);
    shelf.setAttribute("aria-label", ordered.length ? `has taken ${ordered.map(pieceName).join(", ")}` : "has taken nothing");
  }
}

function worth(letters) {
  return [...letters].reduce((sum, letter) => sum + (VALUES[letter.toLowerCase()] ?? 0), 0);
}

function doing(view, one, color, running) {
  if (one.failure) return one.failure;
  if (running) {
    if (view.turn.seat === "person") return view.turn.entry ? "to move: on the board, or here" : "to move";
    return view.turn.attempt > 1 ? `thinks, attempt ${view.turn.attempt}` : "thinks";
  }
  const last = one.last;
  if (!last) return one.seat === "person" ? "a person" : "";
  const parts = [`${last.san} after ${seconds(last.tookS)}`];
  if (last.by && last.by !== one.name) parts.push(`by ${last.by}`);
  if (last.fallback) parts.push("(the engine instead)");
  if (last.attempts > 1) parts.push(`attempt ${last.attempts}`);
  if (last.failures?.length) parts.push(`before: ${last.failures.join(", ")}`);
  if (one.asked) parts.push(`legal at first ${one.legalFirst}/${one.asked}`);
  return parts.join(" · ");
}

/** The list of moves; `chosen` is the ply that is looked at, null for the newest. */
export function moves(node, view, chosen, onChoose) {
  const list = view.moves;
  const key = `${view.session.sessionId}/${list.length}/${list.at(-1)?.at ?? 0}/${chosen}`;
  if (node.dataset.key === key) return;
  node.dataset.key = key;
  const rows = [];
  const black = (view.session.startFen ?? "").split(" ")[1] === "b";
  for (const move of list) {
    const whites = (move.ply % 2 === 1) !== black;
    if (whites || rows.length === 0) {
      const number = Math.floor((move.ply - 1 + (black ? 1 : 0)) / 2) + 1;
      rows.push(el("li", {}, el("span", { class: "number", text: `${number}.` }), whites ? null : el("span", { class: "gap", text: "…" })));
    }
    const current = chosen === null ? move === list.at(-1) : move.ply === chosen;
    const notes = [move.helped ? "H" : "", move.repaired ? "R" : "", move.thought?.fallback ? "E" : ""].join("");
    rows.at(-1).append(el("button", {
      type: "button", class: current ? "current" : "", "aria-current": current ? "true" : null,
      title: told(move), onclick: () => onChoose(move === list.at(-1) ? null : move.ply),
    }, el("span", { text: move.san }), notes ? el("span", { class: "notes", text: notes }) : null));
  }
  replace(node, ...(rows.length ? rows : [el("li", { class: "nothing", text: "No moves yet" })]));
  if (chosen === null) node.scrollTop = node.scrollHeight;
}

export function told(move) {
  const parts = [`thought ${seconds(move.thinkS)}`];
  for (const [name, value] of Object.entries(move.timings)) parts.push(`${name} ${seconds(value)}`);
  if (move.helped) parts.push("H: a person helped");
  if (move.repaired) parts.push("R: the arm put it right");
  if (move.thought?.fallback) parts.push("E: the engine moved instead");
  return parts.join(", ");
}

export function timeline(node, view, now) {
  const { timeline: line, session } = view;
  const last = view.moves.at(-1);
  const san = line.san ? numbered({ ply: line.ply, san: line.san }, session.startFen) : last ? numbered(last, session.startFen) : "No move yet";
  text(node.querySelector(".what"), `${san}${line.attempt > 1 ? `, try ${line.attempt}` : ""}`);
  text(node.querySelector(".total"), line.totalS ? `${seconds(line.totalS)} in all` : "");
  const steps = node.querySelector(".steps");
  if (steps.childElementCount !== line.phases.length) {
    replace(steps, ...line.phases.map((phase) => el("li", {}, el("span", { class: "dot", "aria-hidden": "true" }), el("span", { class: "label" }), el("span", { class: "took" }))));
  }
  const reached = line.phases.findLastIndex((phase) => phase.state !== "waiting");
  line.phases.forEach((phase, index) => {
    const step = steps.children[index];
    const state = phase.state === "waiting" && index < reached ? "done" : phase.state; // this page came later
    step.className = state;
    const name = phase.phase === "arm" && session.expecting === "person" ? "A hand moves" : PHASES[phase.phase];
    text(step.querySelector(".label"), name);
    const running = phase.state === "active" && phase.since !== null;
    text(step.querySelector(".took"), running ? seconds(Math.max(0, now - phase.since)) : phase.tookS !== null ? seconds(phase.tookS) : "");
    step.setAttribute("aria-label", `${name}: ${state}`);
  });
}

export function health(node, view) {
  replace(node, ...view.health.map((one) => el("li", { class: `state-${one.status}`, title: one.reason ?? "" },
    el("span", { class: "lamp", "aria-hidden": "true" }), el("span", { class: "who", text: one.component }), el("span", { class: "how", text: one.reason ? `${one.status}: ${one.reason}` : one.status }))));
  if (!view.health.length) replace(node, el("li", { class: "nothing", text: "Nobody has said anything yet" }));
  for (const model of view.models) {
    const done = model.totalBytes ? ` ${Math.round((100 * (model.landedBytes ?? 0)) / model.totalBytes)} %` : "";
    node.append(el("li", { class: `state-${model.problem ? "degraded" : "ready"}` }, el("span", { class: "lamp", "aria-hidden": "true" }),
      el("span", { class: "who", text: `model ${model.model}` }), el("span", { class: "how", text: `${model.state}${done}${model.problem ? `: ${model.problem}` : ""}` })));
  }
}

export class Events {
  constructor(list, filters) {
    this.list = list;
    this.filters = filters;
    this.newest = 0;
    this.epoch = null;
    filters.addEventListener("change", () => this.#refilter());
  }

  show(view) {
    if (view.epoch !== this.epoch || (view.events.at(-1)?.n ?? 0) < this.newest) {
      this.epoch = view.epoch;
      this.newest = 0;
      replace(this.list);
    }
    const fresh = view.events.filter((event) => event.n > this.newest);
    if (!fresh.length) return;
    this.newest = fresh.at(-1).n;
    this.list.prepend(...fresh.reverse().map((event) => this.#line(event)));
    while (this.list.childElementCount > 200) this.list.lastElementChild.remove();
  }

  #line(event) {
    const line = el("li", { class: `level-${event.level}`, "data-component": event.component, "data-level": event.level },
      el("time", { text: time(event.at) }), el("span", { class: "by", text: event.component }), el("span", { class: "said", text: event.text }));
    line.hidden = !this.#wanted(line);
    return line;
  }

  #wanted(line) {
    const quiet = this.filters.querySelector("[name=quiet]").checked;
    const only = this.filters.querySelector("[name=component]").value;
    const bad = this.filters.querySelector("[name=bad]").checked;
    const level = line.dataset.level;
    return (quiet || level !== "quiet") && (!only || line.dataset.component === only) && (!bad || level === "bad" || level === "warn");
  }

  #refilter() {
    for (const line of this.list.children) line.hidden = !this.#wanted(line);
  }
}

const TROUBLES_SHOWN = 3; // the worst come first; a board full of them is one trouble

/** `act(action)` does what a trouble offers. */
export function troubles(node, view, operator, act) {
  const all = node.dataset.all === "true";
  const key = JSON.stringify([view.troubles, operator, all]);
  if (node.dataset.key === key) return;
  node.dataset.key = key;
  node.hidden = view.troubles.length === 0;
  const hidden = all ? 0 : Math.max(0, view.troubles.length - TROUBLES_SHOWN);
  const shown = view.troubles.slice(0, view.troubles.length - hidden).map((one) => trouble(one, operator, act));
  const toggle = (text, value) => el("li", { class: "rest" }, el("button", { type: "button", class: "quiet small-button", text, onclick: () => { node.dataset.all = value; troubles(node, view, operator, act); } }));
  if (hidden) shown.push(toggle(`and ${hidden} more`, "true"));
  else if (all && view.troubles.length > TROUBLES_SHOWN) shown.push(toggle("fewer", "false"));
  replace(node, ...shown);
}

function trouble(one, operator, act) {
  const offered = operator ? one.actions.filter((name) => ACTIONS[name]) : [];
  return el("li", { class: `trouble ${one.level}`, "data-code": one.code },
    el("span", { class: "sign", "aria-hidden": "true", text: one.level === "bad" ? "■" : "▲" }),
    el("div", {}, el("p", { class: "what", text: one.text }), one.cure ? el("p", { class: "cure", text: one.cure }) : null,
      offered.length ? el("p", { class: "actions" }, ...offered.map((name) => el("button", { type: "button", text: ACTIONS[name], onclick: () => act(name) }))) : null));
}

export function evaluation(node, view, flipped) {
  const found = view.evaluation;
  node.hidden = !found;
  if (!found) return;
  const share = found.mate !== null ? (found.mate > 0 ? 1 : 0) : 0.5 + Math.atan(found.cp / 290) / Math.PI;
  const bar = node.querySelector(".fill");
  bar.style.setProperty("--share", String(share));
  node.classList.toggle("flipped", flipped);
  node.classList.toggle("behind", share < 0.5);
  text(node.querySelector(".number"), judged(found));
  node.setAttribute("aria-label", `Evaluation ${judged(found)} from White's side, depth ${found.depth}`);
}

export function shelf(node, slots) {
  const key = JSON.stringify(slots);
  if (node.dataset.key === key) return;
  node.dataset.key = key;
  const full = slots.filter((slot) => slot.piece || slot.doubtful);
  if (!full.length) {
    replace(node, el("span", { class: "none", text: slots.length ? "empty" : "nothing is known" }));
    return;
  }
  replace(node, ...full.map((slot) => el("span", {
    class: `slot${slot.doubtful ? " doubtful" : ""}`, title: `${slot.slot}: ${pieceName(slot.piece)}${slot.doubtful ? " (not sure)" : ""}`,
  }, slot.piece ? piece(slot.piece, "small") : null)));
}

export { svg, $ };
