// What the table's page and the stage share: board, seats, evaluation, situation.

import { $, text, seconds } from "./dom.js";
import { Board, situation } from "./board.js";
import { evaluation, player } from "./panels.js";
import { piece } from "./pieces.js";
import { numbered } from "./words.js";

export class Live {
  constructor(wire, onMove = null) {
    this.wire = wire;
    this.board = new Board($("board"), { onMove });
    this.ply = null; // the ply that is looked at; null: the present
    $("white").querySelector(".figure").append(piece("K"));
    $("black").querySelector(".figure").append(piece("k"));
    wire.addEventListener("link", () => this.link());
    window.setInterval(() => this.tick(), 200);
  }

  link() {
    $("lost").hidden = this.wire.live || this.wire.view === null;
    document.body.classList.toggle("stale", !this.wire.live);
  }

  tick() {
    const { view } = this.wire;
    if (!view) return;
    const now = this.wire.now();
    player($("white"), view, "w", now);
    player($("black"), view, "b", now);
  }

  show() {
    const { view } = this.wire;
    this.link();
    text($("situation"), situation(view));
    evaluation($("evaluation"), view, this.board.flipped);
    this.tick();
    this.board.show(this.position());
  }

  position() {
    const { session, moves, board, turn } = this.wire.view;
    if (this.ply !== null) {
      const move = moves.find((one) => one.ply === this.ply);
      if (this.ply === 0) return { fen: session.startFen };
      if (move) return { fen: move.fen, lastMove: move.lan };
      this.ply = null;
    }
    const fen = session.fen ?? session.startFen ?? board.placement;
    return {
      fen, lastMove: session.lastMove, check: session.inCheck, differences: board.differences,
      arrow: session.lan ?? null, moves: this.wire.live && this.wire.me?.role === "operator" && turn?.entry ? turn.moves : [],
    };
  }
}

export function lastMove(view) {
  const move = view.moves.at(-1);
  return move ? `${numbered(move, view.session.startFen)} · ${seconds(move.timings.total ?? null)}` : "";
}
