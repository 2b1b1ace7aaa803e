// What an operator does. The stop comes first, depends on nothing here, and works by key.

import { $, el, replace, text } from "./dom.js";
import { Players } from "./players.js";

const STOP_KEYS = new Set(["F9", "Pause"]);
const NAME_KEY = "edgechess-name";

export class Controls {
  constructor(wire) {
    this.wire = wire;
    this.players = null;
    this.awaited = null; // the match before the one that the form has asked for
    $("stop").addEventListener("click", () => void this.stop());
    window.addEventListener("keydown", (event) => {
      if (STOP_KEYS.has(event.key)) { event.preventDefault(); void this.stop(); }
      if (event.key === "Escape") this.#close();
    }, true);
    const on = (id, run) => $(id).addEventListener("click", run);
    on("new", () => void this.#open());
    on("begin", () => this.#match("start"));
    on("next", () => void this.#send("/api/session/next", { after: this.#session() }));
    on("pause", () => this.#match("pause"));
    on("resume", () => this.#match("resume"));
    on("resign", () => this.#choice("Who resigns?", [["White", { color: "w" }], ["Black", { color: "b" }]], "/api/session/resign"));
    on("draw", () => this.#choice("Draw", this.#draws(), "/api/session/draw"));
    on("more", () => {
      $("table-menu").hidden = !$("table-menu").hidden;
      $("more").setAttribute("aria-expanded", String(!$("table-menu").hidden));
    });
    on("logout", () => void this.wire.post("/api/logout").then(() => window.location.assign("/login")));
    for (const button of document.querySelectorAll("[data-act]")) button.addEventListener("click", () => this.act(button.dataset.act));
    for (const button of document.querySelectorAll("[data-close]")) button.addEventListener("click", () => this.#close());
    $("new-form").addEventListener("submit", (event) => { event.preventDefault(); void this.#create(); });
  }

  who() {
    const operator = this.wire.me?.role === "operator";
    $("controls").hidden = !operator;
    $("stop-box").hidden = !operator;
    $("logout").hidden = !this.wire.me?.login;
  }

  show() {
    const { view, live } = this.wire;
    if (!view) return;
    const { status, paused } = view.session;
    if (this.awaited && this.#session() !== this.awaited.after && status !== "ended") this.#close();
    const running = status === "running";
    $("new").hidden = running || status === "created";
    $("begin").hidden = status !== "created";
    $("next").hidden = status !== "ended" || !view.players.w?.word;
    $("pause").hidden = !running || paused;
    $("resume").hidden = !running || !paused;
    $("resign").hidden = $("draw").hidden = !running;
    for (const button of $("controls").querySelectorAll("button")) button.disabled = !live;
    $("stop-box").classList.toggle("stopped", view.arms.stopped);
  }

  async stop() {
    if (this.wire.me?.role === "viewer") return;
    text($("stop-answer"), "stopping …");
    const answer = await this.wire.post("/api/stop");
    text($("stop-answer"), answer.status === 200 ? `The stop is out (${answer.tookMs} ms).` : `NOT STOPPED: ${answer.reason ?? answer.status}. Use the emergency stop.`);
    $("stop-box").classList.toggle("failed", answer.status !== 200);
  }

  async move(lan) {
    await this.#send("/api/session/move", { lan, sessionId: this.#session() });
  }

  act(action) {
    if (action === "recover") this.#named("Who has looked at the table, and says that the arms may move?", "/api/arms/recover");
    else if (action === "refilled") this.#named("Who has emptied the trays and filled the racks?", "/api/table/refilled");
    else if (action === "park") void this.#send("/api/arms/park");
    else if (action === "setup") void this.#setup();
    else if (action === "pause" || action === "resume") this.#match(action);
  }

  /** The match that is seen here: a command is never meant for the one that comes after it. */
  #session() {
    return this.wire.view?.session.sessionId ?? null;
  }

  #match(verb) {
    void this.#send(`/api/session/${verb}`, { sessionId: this.#session() });
  }

  /** Who has offered waits for the other one. */
  #draws() {
    const offers = this.wire.view?.session.drawOffers ?? [];
    const verb = offers.length ? "accepts" : "offers";
    const sides = [["White", "w"], ["Black", "b"]].filter(([, color]) => !offers.includes(color));
    return [...sides.map(([side, color]) => [`${side} ${verb}`, { color }]), ...(offers.length ? [] : [["Both agree", {}]])];
  }

  async #setup() {
    if (this.wire.view?.session.status === "running") {
      this.#choice("A game is being played here. Setting up ends it.", [["End it and set up", { abandon: true }]], "/api/table/setup");
    } else {
      await this.#send("/api/table/setup", { sessionId: this.#session() });
    }
  }

  async #send(path, body = {}) {
    text($("answer"), "…");
    const answer = await this.wire.post(path, body);
    text($("answer"), answer.status === 200 ? (answer.reason ?? "") : `${answer.reason ?? `answer ${answer.status}`}`);
    $("answer").classList.toggle("bad", answer.status !== 200);
    return answer;
  }

  #choice(question, ways, path) {
    const ask = $("ask");
    const sessionId = this.#session(); // the one that was asked about, however long the answer takes
    ask.hidden = false;
    replace(ask, el("p", { text: question }), el("div", { class: "buttons" },
      ...ways.map(([label, body]) => el("button", { type: "button", text: label, onclick: () => { ask.hidden = true; void this.#send(path, { ...body, sessionId }); } })),
      el("button", { type: "button", class: "quiet", text: "Cancel", onclick: () => { ask.hidden = true; } })));
    ask.querySelector("button").focus();
  }

  #named(question, path) {
    const ask = $("ask");
    ask.hidden = false;
    const name = el("input", { name: "who", maxlength: "60", required: true, autocomplete: "name", value: window.sessionStorage.getItem(NAME_KEY) ?? "" });
    ask.onsubmit = (event) => {
      event.preventDefault();
      window.sessionStorage.setItem(NAME_KEY, name.value);
      ask.hidden = true;
      void this.#send(path, { confirmedBy: name.value });
    };
    replace(ask, el("label", {}, question, name), el("div", { class: "buttons" }, el("button", { type: "submit", class: "primary", text: "I have looked" }),
      el("button", { type: "button", class: "quiet", text: "Cancel", onclick: () => { ask.hidden = true; } })));
    ask.scrollIntoView({ block: "nearest" });
    name.focus();
  }

  async #open() {
    text($("new-form").querySelector(".answer"), "");
    $("new-match").hidden = false;
    if (!this.players) {
      const offers = await this.wire.get("/api/players").catch(() => []);
      this.players = new Players(offers, document.querySelectorAll(".pick"));
    }
    $("new-form").querySelector("select")?.focus();
  }

  async #create() {
    const form = $("new-form");
    const fields = new FormData(form);
    const body = { white: this.players.word("white"), black: this.players.word("black"), robotEnabled: fields.has("robot") };
    if (fields.has("setup")) body.setup = true;
    if (fields.get("fen").trim()) body.fen = fields.get("fen").trim();
    if (fields.get("plies")) body.maxPlies = Number(fields.get("plies"));
    const line = form.querySelector(".answer");
    text(line, "…");
    this.awaited = { after: this.#session() };
    const answer = await this.wire.post("/api/session/start", body);
    text(line, answer.status === 200 ? "" : (answer.reason ?? `answer ${answer.status}`));
    if (answer.status === 200) this.#close();
    else if (answer.status !== 504) this.awaited = null; // refused; without an answer it may yet come
  }

  #close() {
    this.awaited = null;
    $("new-match").hidden = true;
    $("ask").hidden = true;
  }
}
