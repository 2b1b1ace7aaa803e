// Words that several panels use.

/** `12. Nf3` or `12… Nf6`. */
export function numbered(move, startFen) {
  const black = (startFen ?? "").split(" ")[1] === "b";
  const whites = (move.ply % 2 === 1) !== black;
  return `${Math.floor((move.ply - 1 + (black ? 1 : 0)) / 2) + 1}${whites ? "." : "…"} ${move.san}`;
}
