// Small words for the document. Text is only ever set as text.

const SVG = "http://www.w3.org/2000/svg";

export function el(tag, attributes = {}, ...children) {
  return fill(document.createElement(tag), attributes, children);
}

export function svg(tag, attributes = {}, ...children) {
  return fill(document.createElementNS(SVG, tag), attributes, children);
}

function fill(node, attributes, children) {
  for (const [name, value] of Object.entries(attributes)) {
    if (value === null || value === undefined || value === false) continue;
    if (name === "text") node.textContent = value;
    else if (name.startsWith("on")) node.addEventListener(name.slice(2), value);
    else node.setAttribute(name, value === true ? "" : value);
  }
  node.append(...children.filter((child) => child !== null && child !== undefined));
  return node;
}

export const $ = (id) => document.getElementById(id);

export function text(node, value) {
  if (node && node.textContent !== value) node.textContent = value;
}

/** Replaces the children only where something differs: what a reader or a finger is on stays. */
export function replace(node, ...children) {
  node.replaceChildren(...children.filter((child) => child !== null && child !== undefined));
}

export function seconds(value, digits = 1) {
  return value === null || value === undefined ? "–" : `${value.toFixed(digits)} s`;
}

export function clock(value) {
  const whole = Math.max(0, Math.floor(value));
  const minutes = Math.floor(whole / 60) % 60;
  const hours = Math.floor(whole / 3600);
  const rest = String(whole % 60).padStart(2, "0");
  return hours ? `${hours}:${String(minutes).padStart(2, "0")}:${rest}` : `${minutes}:${rest}`;
}

export function time(at) {
  return new Date(at * 1000).toLocaleTimeString([], { hour12: false });
}

const MINUS = "−";

export function judged(evaluation) {
  if (!evaluation) return "";
  if (evaluation.mate !== null) return `${evaluation.mate < 0 ? MINUS : ""}#${Math.abs(evaluation.mate)}`;
  const pawns = evaluation.cp / 100;
  return `${pawns < 0 ? MINUS : "+"}${Math.abs(pawns).toFixed(1)}`;
}

export const PIECES = { p: "pawn", n: "knight", b: "bishop", r: "rook", q: "queen", k: "king" };

export function pieceName(letter) {
  if (!letter) return "nothing";
  return `${letter === letter.toUpperCase() ? "white" : "black"} ${PIECES[letter.toLowerCase()] ?? "piece"}`;
}

/** square name -> piece letter, of a FEN or its first field. */
export function placement(fen) {
  const found = {};
  if (!fen) return found;
  fen.split(" ")[0].split("/").forEach((row, index) => {
    let file = 0;
    for (const letter of row) {
      if (letter >= "1" && letter <= "8") file += Number(letter);
      else found["abcdefgh"[file++] + String(8 - index)] = letter;
    }
  });
  return found;
}
