// The two players of a new match: a kind, and what that kind can be told.

import { el, replace } from "./dom.js";

export class Players {
  constructor(offers, hosts) {
    this.offers = offers;
    this.hosts = new Map();
    for (const host of hosts) this.#build(host);
  }

  #build(host) {
    const side = host.dataset.side;
    const select = el("select", { "aria-label": `Player of ${side}` }, ...this.offers.map((offer) => el("option", { value: offer.name, text: offer.title })));
    const options = el("div", { class: "options" });
    const hint = el("p", { class: "hint" });
    select.addEventListener("change", () => this.#options(side));
    this.hosts.set(side, { select, options, hint });
    replace(host, select, options, hint);
    select.value = "stockfish";
    this.#options(side);
  }

  #options(side) {
    const { select, options, hint } = this.hosts.get(side);
    const offer = this.offers.find((one) => one.name === select.value);
    if (!offer) return;
    hint.textContent = offer.installed ? offer.hint : `${offer.hint} (not installed beside this page)`;
    const fields = offer.options.map((option) => el("label", {}, option.label, el("input", {
      "data-key": option.key, type: option.type, min: option.min, max: option.max, step: option.key === "elo" ? "10" : "any", placeholder: option.default, inputmode: "decimal",
    })));
    if (offer.free) fields.push(el("label", {}, offer.example, el("input", { "data-free": "", maxlength: "180", autocomplete: "off", spellcheck: "false", placeholder: offer.example.split(":").slice(1).join(":") })));
    replace(options, ...fields);
  }

  /** As the director reads it: `stockfish:elo=1350`. */
  word(side) {
    const { select, options } = this.hosts.get(side);
    const free = options.querySelector("[data-free]");
    if (free) {
      const rest = free.value.trim() || free.placeholder;
      return rest ? `${select.value}:${rest}` : select.value;
    }
    const given = [...options.querySelectorAll("[data-key]")].filter((input) => input.value !== "").map((input) => `${input.dataset.key}=${input.value}`);
    return given.length ? `${select.value}:${given.join(",")}` : select.value;
  }
}
