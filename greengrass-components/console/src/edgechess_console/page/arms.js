// The arms from above and, aligned below it, from the side: White's on the left, Black's on the right.
// The tool is where it was measured; the links between it and the base are a schematic drawing.

import { el, pieceName, svg, replace } from "./dom.js";

const SHOULDER_MM = 180;
const WRIST_MM = 150; // flange above the fingertips
const MODES = { moving: "moves", stopped: "STOPPED", fault: "FAULT", offline: "not connected" };
const GLIDE_MS = 520; // states come twice a second

export class Arms {
  constructor(host, list) {
    this.above = svg("svg", { viewBox: "-700 -412 1400 824", x: 0, y: 0, width: 1400, height: 824 });
    this.side = svg("svg", { viewBox: "-700 -620 1400 680", x: 0, y: 836, width: 1400, height: 680 });
    host.append(svg("svg", { viewBox: "0 0 1400 1516", role: "img", "aria-label": "The arms from above and from the side" },
      svg("rect", { width: 1400, height: 824, rx: 36, class: "ground" }), svg("rect", { y: 836, width: 1400, height: 680, rx: 36, class: "ground" }), this.above, this.side));
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
    const half = 4 * square;
    const marks = [];
    for (let file = 0; file < 8; file++) {
      for (let rank = 0; rank < 8; rank++) {
        const [x, y] = onTable((file - 4) * square, (rank - 4) * square);
        marks.push(svg("rect", { x, y, width: square, height: square, class: (file + rank) % 2 ? "light" : "dark" }));
      }
    }
    this.edge = svg("rect", { x: -half, y: -half, width: 2 * half, height: 2 * half, class: "edge" });
    marks.push(this.edge);
    this.drawn.clear();
    const [tops, flats] = [[], []];
    const ground = [svg("rect", { x: -half, y: -12, width: 2 * half, height: 12, class: "slab" }), svg("line", { x1: -720, x2: 720, y1: 2, y2: 2, class: "floor" })];
    for (const site of table.sites) {
      const [bx, by] = onTable(...site.baseMm);
      marks.push(svg("circle", { cx: bx, cy: by, r: site.reachMm, class: "reach" }));
      for (const [kind, slots, told] of [["tray", site.tray, arms.tray], ["rack", site.rack, arms.rack]]) {
        slots.forEach((slot, number) => marks.push(this.#slot(slot, told.find((one) => one.slot === `${kind}-${site.name}-${number}`), square)));
      }
      const limbs = () => ["limb", "limb fore", "limb inner", "limb inner fore"].map((name) => svg("polyline", { class: name }));
      const top = svg("g", {}, svg("circle", { cx: bx, cy: by, r: 74, class: "base" }), ...limbs(), svg("circle", { cx: bx, cy: by, r: 30, class: "joint" }), svg("circle", { r: 17, class: "joint" }), svg("circle", { r: 25, class: "tool" }));
      const flat = svg("g", {}, svg("path", { d: `M${bx - 70} 0l16 -${SHOULDER_MM - 20}h108l16 ${SHOULDER_MM - 20}z`, class: "base" }), ...limbs(), svg("circle", { cx: bx, cy: -SHOULDER_MM, r: 26, class: "joint" }), svg("circle", { r: 17, class: "joint" }), svg("path", { class: "finger" }));
      tops.push(top);
      flats.push(flat);
      this.drawn.set(site.name, { top, flat, site, at: null, from: null, goal: null, began: 0 });
    }
    const caption = (x, anchor, words) => svg("text", { x, y: 44, class: "caption", "text-anchor": anchor, text: words });
    replace(this.above, ...marks, ...tops);
    replace(this.side, ...ground, ...flats, caption(-680, "start", "White's side"), caption(680, "end", "Black's side"));
  }

  #slot([x, y], found, square) {
    const [cx, cy] = onTable(x, y);
    const color = found?.piece ? (found.piece === found.piece.toUpperCase() ? "white" : "black") : "";
    return svg("circle", { cx, cy, r: square * 0.34, class: `slot ${color} ${found?.doubtful ? "doubtful" : ""}` });
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
    const base = onTable(...site.baseMm);
    const tool = onTable(at[0], at[1]);
    const span = Math.hypot(tool[0] - base[0], tool[1] - base[1]);
    const flange = at[2] + WRIST_MM;
    const [out, up] = elbow(span, flange - SHOULDER_MM, site.reachMm / 2);
    const share = span > 0 ? Math.max(0.18, out / span) : 0;
    const middle = [base[0] + (tool[0] - base[0]) * share, base[1] + (tool[1] - base[1]) * share];
    limbs(top, [base, middle], [middle, tool]);
    move(top.querySelectorAll(".joint")[1], middle);
    move(top.querySelector(".tool"), tool);
    const along = (distance) => base[0] + (base[0] < 0 ? 1 : -1) * distance;
    const [shoulder, bend, wrist] = [[base[0], -SHOULDER_MM], [along(out), -(SHOULDER_MM + up)], [along(span), -flange]];
    limbs(flat, [shoulder, bend], [bend, wrist]);
    move(flat.querySelectorAll(".joint")[1], bend);
    const [x, z] = [along(span), -at[2]];
    flat.querySelector(".finger").setAttribute("d", `M${x} ${-flange}V${z - 62}M${x - 20} ${z}V${z - 58}H${x + 20}V${z}`);
  }

  #words({ arms }) {
    this.edge?.setAttribute("class", `edge ${arms.leaseHolder ? "leased" : ""}`);
    replace(this.list, ...arms.arms.map((arm) => {
      const state = [MODES[arm.mode] ?? arm.mode];
      if (arms.leaseHolder === arm.name) state.push("has the board");
      if (arm.holding) state.push(`holds a ${pieceName(arm.holding)}`);
      if (arm.alarm) state.push(arm.alarm.replace(/^arm [\w-]+: /, ""));
      return el("li", { class: `mode-${arm.mode}` }, el("span", { class: "who", text: arm.name }), el("span", { class: "how", title: arm.alarm ?? "", text: state.join(", ") }),
        el("span", { class: "where", text: arm.toolMm.length === 3 ? `x ${arm.toolMm[0].toFixed(0)}  y ${arm.toolMm[1].toFixed(0)}  z ${arm.toolMm[2].toFixed(0)} mm` : "" }));
    }));
  }
}

/** Board millimetres to the drawing: turned by a quarter, so that White's side is on the left. */
function onTable(x, y) {
  return [y, x];
}

function limbs(group, upper, fore) {
  const [edge, edgeFore, inner, innerFore] = group.querySelectorAll(".limb");
  for (const [node, points] of [[edge, upper], [inner, upper], [edgeFore, fore], [innerFore, fore]]) {
    node.setAttribute("points", points.map((point) => point.map((value) => value.toFixed(1)).join(",")).join(" "));
  }
}

function move(node, [x, y]) {
  node.setAttribute("cx", x.toFixed(1));
  node.setAttribute("cy", y.toFixed(1));
}

/** Where the elbow of two equal links is, above the straight line: out and up from the shoulder. Links are drawn shorter near the base, where they would fold out of the picture. */
function elbow(out, up, longest) {
  const straight = Math.hypot(out, up) || 1;
  const link = Math.min(longest, Math.max(0.75 * straight, 0.33 * longest * 2));
  const reach = Math.min(straight, 2 * link * 0.999);
  const lift = Math.acos(reach / (2 * link));
  const angle = Math.atan2(up, out) + lift;
  return [link * Math.cos(angle), link * Math.sin(angle)];
}
