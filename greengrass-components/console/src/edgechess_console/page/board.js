// The board: 64 buttons that a finger, a mouse and a keyboard can use, with marks that differ in shape as well as colour.

import { el, svg, replace, text, placement, pieceName } from "./dom.js";
import { piece } from "./pieces.js";

const FILES = "abcdefgh";
const DRAG_FROM_PX = 6;

export class Board {
  /** `onMove(lan)` is called with a move that is among `moves`. */
  constructor(host, { onMove = null, label = "Chess board" } = {}) {
    this.onMove = onMove;
    this.flipped = false;
    this.moves = [];
    this.chosen = null;
    this.pieces = {};
    this.focus = "e2";
    this.squares = new Map();
    this.grid = el("div", { class: "squares", role: "grid", "aria-label": label });
    this.arrows = svg("svg", { class: "arrows", viewBox: "0 0 8 8", "aria-hidden": "true" });
    this.choice = el("div", { class: "promotion", hidden: true, role: "group", "aria-label": "Promote to" });
    this.element = el("div", { class: "board" }, this.grid, this.arrows, this.choice);
    host.append(this.element);
    this.#build();
    this.grid.addEventListener("keydown", (event) => this.#key(event));
    this.grid.addEventListener("pointerdown", (event) => this.#press(event));
  }

  #build() {
    this.squares.clear();
    const rows = [];
    for (let row = 0; row < 8; row++) {
      const cells = [];
      for (let column = 0; column < 8; column++) {
        const name = this.flipped ? FILES[7 - column] + String(row + 1) : FILES[column] + String(8 - row);
        const dark = (FILES.indexOf(name[0]) + Number(name[1])) % 2 === 1;
        const button = el("button", {
          type: "button", class: `square ${dark ? "dark" : "light"}`, role: "gridcell", "data-square": name,
          tabindex: name === this.focus ? "0" : "-1",
          onclick: (event) => { if (event.detail === 0) this.#pick(name); },
          onfocus: () => { this.focus = name; },
        });
        if (column === 0) button.append(el("span", { class: "rank", "aria-hidden": "true", text: name[1] }));
        if (row === 7) button.append(el("span", { class: "file", "aria-hidden": "true", text: name[0] }));
        const holder = el("span", { class: "holder" });
        const marks = el("span", { class: "marks", "aria-hidden": "true" });
        button.append(holder, marks);
        this.squares.set(name, { button, holder, marks, letter: null, marked: "" });
        cells.push(button);
      }
      rows.push(el("div", { role: "row", class: "row" }, ...cells));
    }
    replace(this.grid, ...rows);
  }

  flip() {
    this.flipped = !this.flipped;
    this.#build();
    if (this.shown) this.show(this.shown);
  }

  /** `{fen, lastMove, check, differences, arrow, moves, felt}` */
  show(shown) {
    this.shown = shown;
    this.moves = shown.moves ?? [];
    if (this.chosen && !this.moves.some((move) => move.startsWith(this.chosen))) this.#choose(null);
    this.pieces = placement(shown.fen);
    const wrong = new Map((shown.differences ?? []).map((item) => [item.square, item]));
    const king = shown.check ? Object.keys(this.pieces).find((name) => this.pieces[name] === (shown.fen.includes(" w ") ? "K" : "k")) : null;
    for (const [name, square] of this.squares) {
      const letter = this.pieces[name] ?? null;
      if (letter !== square.letter) {
        replace(square.holder, letter ? piece(letter) : null);
        square.letter = letter;
      }
      const last = shown.lastMove ?? "";
      square.button.classList.toggle("last", last.slice(0, 2) === name || last.slice(2, 4) === name);
      square.button.classList.toggle("check", king === name);
      this.#mark(square, wrong.get(name) ?? null);
      this.#describe(name, square, wrong.get(name) ?? null);
    }
    this.#reach();
    this.#arrow(shown.arrow);
  }

  #mark(square, difference) {
    const key = difference ? `${difference.expected}/${difference.found}` : "";
    if (key === square.marked) return;
    square.marked = key;
    square.button.classList.toggle("missing", Boolean(difference && !difference.found));
    square.button.classList.toggle("extra", Boolean(difference && !difference.expected));
    square.button.classList.toggle("other", Boolean(difference && difference.found && difference.expected));
    if (!difference) replace(square.marks);
    else if (!difference.found) replace(square.marks, el("span", { class: "sign", text: "?" }));
    else replace(square.marks, piece(difference.found, "felt"), el("span", { class: "sign", text: difference.expected ? "≠" : "×" }));
  }

  #describe(name, square, difference) {
    let words = `${name}, ${square.letter ? pieceName(square.letter) : "empty"}`;
    if (difference) words += `; the board feels ${pieceName(difference.found)}`;
    if (square.button.getAttribute("aria-label") !== words) square.button.setAttribute("aria-label", words);
  }

  #arrow(move) {
    replace(this.arrows);
    if (!move || move.length < 4) return;
    const [x1, y1] = this.#middle(move.slice(0, 2));
    const [x2, y2] = this.#middle(move.slice(2, 4));
    const length = Math.hypot(x2 - x1, y2 - y1) || 1;
    const [ux, uy] = [(x2 - x1) / length, (y2 - y1) / length];
    const at = (along, across) => `${x1 + ux * along - uy * across},${y1 + uy * along + ux * across}`;
    const [tip, neck, half] = [length - 0.12, length - 0.5, 0.085];
    const outline = [at(0.3, -half), at(neck, -half), at(neck, -0.22), at(tip, 0), at(neck, 0.22), at(neck, half), at(0.3, half)];
    this.arrows.append(svg("path", { d: `M${outline.join("L")}Z` }));
  }

  #middle(name) {
    const file = FILES.indexOf(name[0]);
    const rank = Number(name[1]) - 1;
    return this.flipped ? [7.5 - file, rank + 0.5] : [file + 0.5, 7.5 - rank];
  }

  // -- entering a move ------------------------------------------------------------------------------------------

  #targets(from) {
    return this.moves.filter((move) => move.startsWith(from));
  }

  #reach() {
    const targets = new Set(this.chosen ? this.#targets(this.chosen).map((move) => move.slice(2, 4)) : []);
    const movable = new Set(this.moves.map((move) => move.slice(0, 2)));
    for (const [name, square] of this.squares) {
      square.button.classList.toggle("chosen", name === this.chosen);
      square.button.classList.toggle("target", targets.has(name));
      square.button.classList.toggle("taken", targets.has(name) && Boolean(square.letter));
      square.button.classList.toggle("movable", movable.has(name));
      square.button.setAttribute("aria-selected", name === this.chosen ? "true" : "false");
    }
  }

  #choose(name) {
    this.chosen = name;
    this.choice.hidden = true;
    this.#reach();
  }

  #pick(name) {
    if (!this.onMove || !this.moves.length) return;
    if (this.chosen && this.chosen !== name && this.#targets(this.chosen).some((move) => move.slice(2, 4) === name)) {
      this.#enter(this.chosen, name);
    } else {
      this.#choose(name !== this.chosen && this.#targets(name).length ? name : null);
    }
  }

  #enter(from, to) {
    const found = this.moves.filter((move) => move.startsWith(from + to));
    if (found.length === 1) {
      this.#choose(null);
      this.onMove(found[0]);
      return;
    }
    const white = this.pieces[from] === this.pieces[from]?.toUpperCase();
    const order = ["q", "r", "b", "n"].filter((kind) => found.some((move) => move[4] === kind));
    replace(this.choice, ...order.map((kind) => {
      const letter = white ? kind.toUpperCase() : kind;
      return el("button", {
        type: "button", "aria-label": pieceName(letter), onclick: () => { this.#choose(null); this.onMove(from + to + kind); },
      }, piece(letter));
    }), el("button", { type: "button", class: "cancel", "aria-label": "No promotion, take the move back", text: "×", onclick: () => this.#choose(null) }));
    this.choice.hidden = false;
    this.choice.querySelector("button")?.focus();
  }

  #key(event) {
    const name = event.target.closest?.("[data-square]")?.dataset.square;
    if (!name) return;
    const step = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, 1], ArrowDown: [0, -1] }[event.key];
    if (step) {
      event.preventDefault();
      const sign = this.flipped ? -1 : 1;
      const file = FILES.indexOf(name[0]) + sign * step[0];
      const rank = Number(name[1]) + sign * step[1];
      if (file < 0 || file > 7 || rank < 1 || rank > 8) return;
      const next = FILES[file] + String(rank);
      this.squares.get(name).button.tabIndex = -1;
      const button = this.squares.get(next).button;
      button.tabIndex = 0;
      button.focus();
    } else if (event.key === "Escape" && this.chosen) {
      this.#choose(null);
    }
  }

  #press(event) {
    const name = event.target.closest("[data-square]")?.dataset.square;
    if (!name || event.button !== 0) return;
    const grabbed = this.#targets(name).length > 0;
    const [x, y] = [event.clientX, event.clientY];
    let ghost = null;
    const move = (moved) => {
      if (!grabbed || (!ghost && Math.hypot(moved.clientX - x, moved.clientY - y) < DRAG_FROM_PX)) return;
      if (!ghost) {
        this.#choose(name);
        ghost = el("div", { class: "ghost" }, piece(this.pieces[name]));
        const size = this.squares.get(name).button.getBoundingClientRect().width;
        ghost.style.width = ghost.style.height = `${size}px`;
        document.body.append(ghost);
        this.squares.get(name).button.classList.add("lifted");
      }
      ghost.style.transform = `translate(${moved.clientX}px, ${moved.clientY}px) translate(-50%, -60%)`;
    };
    const end = (ended) => {
      window.removeEventListener("pointermove", move);
      window.removeEventListener("pointerup", end);
      window.removeEventListener("pointercancel", end);
      this.squares.get(name)?.button.classList.remove("lifted");
      const at = document.elementFromPoint(ended.clientX, ended.clientY)?.closest("[data-square]")?.dataset.square;
      ghost?.remove();
      if (ended.type === "pointercancel") this.#choose(null);
      else if (!ghost) { if (at === name) this.#pick(name); }
      else if (at && at !== name && this.#targets(name).some((legal) => legal.slice(2, 4) === at)) this.#enter(name, at);
      else this.#choose(null);
    };
    window.addEventListener("pointermove", move);
    window.addEventListener("pointerup", end);
    window.addEventListener("pointercancel", end);
  }
}

/** Who won, or whose turn it is, in one sentence. */
export function situation(view) {
  const { session, turn, timeline, players } = view;
  if (!view.bus.connected) return "The bus is not linked";
  if (session.status === "ended") return `${session.result ?? ""} ${session.termination ?? ""}`.trim() || "The match is over";
  if (session.status === "created") return "Ready to start";
  if (session.status === "idle") return "No match is running";
  const side = (color) => (color === "b" ? "Black" : "White");
  if (session.paused) return "Paused";
  if (session.phase === "arm" || session.phase === "board-after") {
    const who = session.expecting === "person" ? "waits for a hand to play" : "plays";
    return `${side(timeline.color)} ${who} ${timeline.san ?? ""}`;
  }
  if (turn) {
    const name = players[turn.color]?.name || side(turn.color);
    return turn.seat === "person" ? `${side(turn.color)} to move: a person` : `${side(turn.color)} to move: ${name} thinks`;
  }
  return `${side(session.turn)} to move`;
}

export { text };
