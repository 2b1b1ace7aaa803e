// Games that were played: a list, a replay with what board and arms did, players, and how reliable the table was.

import { $, el, replace, seconds, svg, text, time } from "./dom.js";
import { Board } from "./board.js";
import { moves, PHASES } from "./panels.js";
import { theme } from "./theme.js";
import { Wire } from "./wire.js";
import { numbered } from "./words.js";

theme($("theme"));
const wire = new Wire();
const board = new Board($("board"), { label: "Replayed position" });
let game = null;
let ply = 0;
let oldest = null;

const PARTS = ["games", "players", "reliability", "replay"];

function part(name) {
  for (const one of PARTS) $(`${one}-part`).hidden = one !== name;
  for (const link of document.querySelectorAll(".tabs a")) {
    if (link.hash === `#${name}`) link.setAttribute("aria-current", "page");
    else link.removeAttribute("aria-current");
  }
}

async function route() {
  $("problem").hidden = true;
  const [name, id] = window.location.hash.slice(1).split("=");
  try {
    if (name === "players") await players();
    else if (name === "reliability") await reliability();
    else if (name === "game") await replay(decodeURIComponent(id ?? ""));
    else await games();
  } catch (error) {
    text($("problem"), error.message);
    $("problem").hidden = false;
  }
}

async function games() {
  part("games");
  oldest = null;
  replace($("games"));
  await older();
}

async function older() {
  const found = await wire.get(`/api/history/sessions?limit=50${oldest ? `&before=${oldest}` : ""}`);
  $("games").append(...found.sessions.map(row));
  oldest = found.sessions.at(-1)?.createdAt ?? oldest;
  $("older").hidden = !found.more;
  if (!$("games").childElementCount) $("games").append(el("tr", {}, el("td", { colspan: "8", text: "No game was seen yet." })));
}

function row(one) {
  const cell = (value, kind = "") => el("td", { class: kind, text: value === null ? "–" : String(value) });
  const link = `#game=${encodeURIComponent(one.sessionId)}`;
  return el("tr", {}, el("td", {}, el("a", { href: link, text: new Date(one.createdAt * 1000).toLocaleString([], { hour12: false }) })), player(one.white, one.whiteName), player(one.black, one.blackName),
    el("td", {}, el("span", { class: "result", text: one.result ?? "–" }), ` ${one.termination ?? ""}`), cell(one.plies, "number"), cell(one.helped, "number"), cell(one.repaired, "number"),
    el("td", {}, el("a", { href: `/api/history/pgn?id=${encodeURIComponent(one.sessionId)}`, download: true, text: "PGN" })));
}

function player(word, name) {
  return el("td", { class: "strong", title: word, text: name || "–" });
}

async function replay(id) {
  part("replay");
  game = await wire.get(`/api/history/session?id=${encodeURIComponent(id)}`);
  const { whiteName, blackName, result, termination } = game.session;
  replace($("replay-title"), `${whiteName} – ${blackName}`, el("small", { text: `${result ?? ""} ${termination ?? ""}` }));
  $("pgn").href = `/api/history/pgn?id=${encodeURIComponent(id)}`;
  ply = game.moves.length;
  look(ply);
}

function look(to) {
  if (!game) return;
  ply = Math.max(0, Math.min(game.moves.length, to));
  const move = game.moves[ply - 1] ?? null;
  board.show(move ? { fen: move.fen, lastMove: move.lan } : { fen: game.session.startFen || "rnbqkbnr/pppppppp/8/8/8/8/PPPPPPPP/RNBQKBNR" });
  const view = { moves: game.moves, session: { sessionId: game.session.sessionId, startFen: game.session.startFen } };
  moves($("moves"), view, move ? move.ply : -1, (chosen) => look(chosen === null ? game.moves.length : game.moves.findIndex((one) => one.ply === chosen) + 1));
  text($("which"), move ? numbered(move, game.session.startFen) : "before the first move");
  timings(move);
  const number = move ? move.ply : 0;
  replace($("records"), ...game.records.filter((record) => record.ply === number).map((record) =>
    el("li", { class: `level-${record.level}` }, el("time", { text: time(record.at) }), el("span", { class: "by", text: record.component }), el("span", { class: "said", text: record.text }))));
}

/** How long each phase took, beside the others of the same move. */
function timings(move) {
  const phases = move ? [["think", move.thinkS], ...Object.entries(move.timings).filter(([name]) => name !== "total")] : [];
  const known = phases.filter(([, took]) => typeof took === "number");
  const longest = Math.max(...known.map(([, took]) => took), 0.001);
  replace($("timings"), ...known.map(([name, took]) => el("li", {}, el("span", { text: PHASES[name] ?? name }),
    el("meter", { min: 0, max: longest, value: took, "aria-hidden": "true" }), el("span", { class: "took", text: seconds(took) }))));
}

async function players() {
  part("players");
  const found = await wire.get("/api/history/leaderboard");
  const number = (value) => el("td", { class: "number", text: value === null ? "–" : String(value) });
  replace($("players"), ...found.players.map((one) => el("tr", {}, player(one.word, one.name), number(one.games), number(one.score), number(one.wins), number(one.draws), number(one.losses), number(one.moves),
    number(one.legalFirstRate === null ? null : `${(one.legalFirstRate * 100).toFixed(1)} %`), number(one.asked ? one.fallbacks : null), number(one.medianThinkS === null ? null : seconds(one.medianThinkS, 2)))));
}

async function reliability() {
  part("reliability");
  const { days } = await wire.get("/api/history/reliability?days=90");
  const number = (value) => el("td", { class: "number", text: value === null ? "–" : String(value) });
  replace($("days"), ...[...days].reverse().map((day) => el("tr", {}, el("td", { text: day.day }), number(day.games), number(day.moves), number(day.clean), number(day.repaired), number(day.helped), number(day.stops), number(day.medianMoveS === null ? null : seconds(day.medianMoveS)), number(day.p95MoveS === null ? null : seconds(day.p95MoveS)))));
  const played = days.filter((day) => day.moves > 0);
  replace($("clean-plot"), plot(played, [{ name: "clean", value: (day) => (100 * day.clean) / day.moves }, { name: "helped", value: (day) => (100 * day.helped) / day.moves }], " %", 100));
  replace($("time-plot"), plot(played.filter((day) => day.medianMoveS !== null), [{ name: "median", value: (day) => day.medianMoveS }, { name: "95 %", value: (day) => day.p95MoveS }], " s"));
}

/** Lines over days, each with marks of its own shape and its name at the end. */
function plot(days, lines, unit, most = null) {
  if (!days.length) return el("p", { class: "nothing", text: "Nothing was played yet." });
  const [width, height, left, right, top, bottom] = [760, 290, 70, 90, 14, 36];
  const highest = most ?? Math.max(...days.flatMap((day) => lines.map((line) => line.value(day) ?? 0)), 1) * 1.1;
  const x = (index) => left + (days.length === 1 ? (width - left - right) / 2 : (index * (width - left - right)) / (days.length - 1));
  const y = (value) => height - bottom - (value / highest) * (height - top - bottom);
  const drawing = svg("svg", { viewBox: `0 0 ${width} ${height}`, class: "plot", role: "img", "aria-label": `${lines.map((line) => line.name).join(" and ")} by day` });
  for (let step = 0; step <= 4; step++) {
    const value = (highest * step) / 4;
    drawing.append(svg("line", { x1: left, x2: width - right, y1: y(value), y2: y(value), class: "rule" }), svg("text", { x: left - 8, y: y(value) + 4, class: "scale end", text: `${value.toFixed(highest < 10 ? 1 : 0)}${unit}` }));
  }
  lines.forEach((line, number) => {
    const points = days.map((day, index) => [x(index), y(line.value(day) ?? 0)]);
    drawing.append(svg("polyline", { points: points.map((point) => point.join(",")).join(" "), class: `line line-${number}` }));
    for (const [px, py] of points) drawing.append(number === 0 ? svg("circle", { cx: px, cy: py, r: 4, class: `dot dot-${number}` }) : svg("rect", { x: px - 4, y: py - 4, width: 8, height: 8, class: `dot dot-${number}` }));
    const [endX, endY] = points.at(-1);
    drawing.append(svg("text", { x: endX + 10, y: endY + 4, class: "scale", text: line.name }));
  });
  drawing.append(svg("text", { x: days.length === 1 ? x(0) - 40 : left, y: height - 8, class: "scale", text: days[0].day }));
  if (days.length > 1) drawing.append(svg("text", { x: width - right, y: height - 8, class: "scale end", text: days.at(-1).day }));
  return drawing;
}

$("older").addEventListener("click", () => void older());
$("first").addEventListener("click", () => look(0));
$("back").addEventListener("click", () => look(ply - 1));
$("forth").addEventListener("click", () => look(ply + 1));
$("last").addEventListener("click", () => look(game?.moves.length ?? 0));
window.addEventListener("keydown", (event) => {
  if ($("replay-part").hidden || event.target.closest?.("[data-square], input, select")) return;
  const by = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
  if (by) look(ply + by);
});
window.addEventListener("hashchange", () => void route());
void wire.identify().then(route);
