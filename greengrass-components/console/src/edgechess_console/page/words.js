// Words that several panels use.

/** `12. Nf3` or `12… Nf6`. */
export function numbered(move, startFen) {
  const black = (startFen ?? "").split(" ")[1] === "b";
  const whites = (move.ply % 2 === 1) !== black;
  return `${Math.floor((move.ply - 1 + (black ? 1 : 0)) / 2) + 1}${whites ? "." : "…"} ${move.san}`;
}

const TITLES = { human: "A person", hand: "A hand at the table", stockfish: "Stockfish", random: "Random", builtin: "Built-in engine" };

/** A player's word as people say it: `stockfish:elo=1350` is Stockfish, Elo 1350. The word itself belongs in the title. */
export function playerTitle(word) {
  const [name, ...rest] = (word ?? "").split(":");
  const told = rest.join(":");
  if (name === "pgn") {
    const [path, number] = told.split("#");
    return `${path.split("/").at(-1).replace(/\.pgn(\.zst)?$/, "")}${number ? `, game ${number}` : ""} (record)`;
  }
  if (name === "openai") return told.split("#").at(-1);
  if (["model", "bedrock"].includes(name)) return told;
  if (name === "imported") return told.split("/").at(-1);
  const options = told.split(",").filter(Boolean).map((option) => option.replace(/^elo=/, "Elo ").replace("=", " "));
  return [TITLES[name] ?? name, ...options].join(", ");
}
