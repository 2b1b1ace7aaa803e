// The arms, from above and from the side. The tool is where it was measured; the links between are a schematic drawing.

import { svg, replace, text } from "./dom.js";

const SHOULDER_MM = 180;
const WRIST_MM = 150; // flange above the fingertips
const GLIDE_MS = 520; // states come twice a second

export class Arms {
  constructor(above, side, list) {
    this.above = svg("svg", { viewBox: "-480 -700 960 1400", class: "from-above", role: "img", "aria-label": "The arms from above" });
    this.side = svg("svg", { viewBox: "-720 -700 1440 760", class: "from-side", role: "img", "aria-label": "The arms from the side" });
    above.append(this.above);
    side.append(this.side);
    this.list = list;
    this.table = "";
    this.drawn = new Map();
    this.frame = 0;
  }

  show(view) {
    const { arms, table } = view;
    const key = JSON.stringify([table, arms.tray, arms.rack]);
    if (key !== this.table) {
      this.table = key;
      this.#ground(view);
    }
    this.view = view;
    for (const [index, arm] of arms.arms.entries()) {
      const one = this.drawn.get(arm.name);
      if (!one) continue;
      one.arm = arm;
      one.index = index;
      const goal = arm.toolMm.length === 3 ? arm.toolMm : null;
      if (goal && String(goal) !== String(one.goal)) {
        one.from = one.at ?? goal;
        one.began = performance.now();
      }
      one.goal = goal;
      const state = `arm ${arm.mode}${arms.leaseHolder === arm.name ? " leased" : ""}${arm.holding ? " holding" : ""}`;
      one.top.setAttribute("class", state);
      one.flat.setAttribute("class", state);
    }
    this.#words(view);
    if (!this.frame) this.frame = requestAnimationFrame(() => this.#draw());
  }

  #ground({ table, arms }) {
    const square = table.squareMm;
    const marks = [];
    const point = (x, y) => [x, -y];
    for (let file = 0; file < 8; file++) {
      for (let rank = 0; rank < 8; rank++) {
        const [x, y] = point((file - 4) * square, (rank - 3) * square);
        marks.push(svg("rect", { x, y, width: square, height: square, class: (file + rank) % 2 ? "light" : "dark" }));
      }
    }
    this.drawn.clear();
    const bodies = [];
    const flat = [svg("rect", { x: -4 * square, y: 0, width: 8 * square, height: 14, class: "slab" }), svg("line", { x1: -720, x2: 720, y1: 14, y2: 14, class: "floor" })];
    for (const site of table.sites) {
      const [bx, by] = point(...site.baseMm);
      marks.push(svg("circle", { cx: bx, cy: by, r: site.reachMm, class: "reach" }));
      for (const [kind, slots, told] of [["tray", site.tray, arms.tray], ["rack", site.rack, arms.rack]]) {
        slots.forEach((slot, number) => {
          const [x, y] = point(...slot);
          const found = told.find((one) => one.slot === `${kind}-${site.name}-${number}`);
          marks.push(svg("circle", { cx: x, cy: y, r: square * 0.36, class: `slot ${found?.piece ? (found.piece === found.piece.toUpperCase() ? "white" : "black") : ""} ${found?.doubtful ? "doubtful" : ""}` }));
        });
      }
      const top = svg("g", {}, svg("line", { class: "link" }), svg("line", { class: "link thin" }), svg("circle", { cx: bx, cy: by, r: 58, class: "base" }), svg("circle", { r: 20, class: "tool" }));
      const body = svg("g", {}, svg("rect", { x: site.baseMm[1] - 52, y: -SHOULDER_MM + 30, width: 104, height: SHOULDER_MM - 16, class: "base" }), svg("polyline", { class: "link" }), svg("circle", { r: 15, class: "tool" }));
      bodies.push(top);
      flat.push(body);
      this.drawn.set(site.name, { top, flat: body, site, at: null, from: null, goal: null, began: 0 });
    }
    replace(this.above, ...marks, ...bodies);
    replace(this.side, ...flat);
  }

  #draw() {
    this.frame = 0;
    let moving = false;
    for (const one of this.drawn.values()) {
      if (!one.goal) continue;
      const share = Math.min(1, (performance.now() - one.began) / GLIDE_MS);
      one.at = one.goal.map((value, axis) => one.from[axis] + (value - one.from[axis]) * share);
      moving ||= share < 1;
      this.#place(one);
    }
    if (moving) this.frame = requestAnimationFrame(() => this.#draw());
  }

  #place({ top, flat, site, at }) {
    const [bx, by] = [site.baseMm[0], -site.baseMm[1]];
    const [x, y] = [at[0], -at[1]];
    const [link, thin, , tool] = top.children;
    const middle = [bx + (x - bx) * 0.55, by + (y - by) * 0.55];
    line(link, bx, by, ...middle);
    line(thin, ...middle, x, y);
    tool.setAttribute("cx", x);
    tool.setAttribute("cy", y);
    const span = Math.hypot(at[0] - site.baseMm[0], at[1] - site.baseMm[1]);
    const towards = site.baseMm[1] < 0 ? 1 : -1;
    const flange = at[2] + WRIST_MM;
    const [elbowOut, elbowUp] = elbow(span, flange - SHOULDER_MM, site.reachMm * 0.5);
    const along = (out) => site.baseMm[1] + towards * out;
    const points = [[along(0), -SHOULDER_MM], [along(elbowOut), -(SHOULDER_MM + elbowUp)], [along(span), -flange], [along(span), -at[2]]];
    flat.children[1].setAttribute("points", points.map((point) => point.map((value) => value.toFixed(1)).join(",")).join(" "));
    flat.children[2].setAttribute("cx", along(span).toFixed(1));
    flat.children[2].setAttribute("cy", (-at[2]).toFixed(1));
  }

  #words({ arms }) {
    replace(this.list, ...arms.arms.map((arm) => {
      const item = document.createElement("li");
      const parts = [arm.name, arm.mode];
      if (arms.leaseHolder === arm.name) parts.push("has the board");
      if (arm.holding) parts.push(`holds ${arm.holding}`);
      if (arm.toolMm.length === 3) parts.push(`x ${arm.toolMm[0]} y ${arm.toolMm[1]} z ${arm.toolMm[2]} mm`);
      if (arm.alarm) parts.push(arm.alarm);
      item.className = `mode-${arm.mode}`;
      text(item, parts.join(" · "));
      return item;
    }));
  }
}

function line(node, x1, y1, x2, y2) {
  for (const [name, value] of Object.entries({ x1, y1, x2, y2 })) node.setAttribute(name, value.toFixed(1));
}

/** Where the elbow of two equal links is, above the straight line: out and up from the shoulder. */
function elbow(out, up, link) {
  const reach = Math.min(Math.hypot(out, up), 2 * link * 0.999) || 1;
  const lift = Math.acos(reach / (2 * link));
  const angle = Math.atan2(up, out) + lift;
  return [link * Math.cos(angle), link * Math.sin(angle)];
}
