// Our own piece shapes, after Staunton: silhouettes in a field of 100 by 100 on one common foot.
// White and Black differ in fill and in line, so that neither paper nor eye needs colour to tell them apart.

import { svg } from "./dom.js";

const FOOT = "M27 79h46q6.500 1.500 6.500 8v4h-59v-4q0-6.500 6.500-8z";

// kind -> [silhouette, lines within]
const SHAPES = {
  p: ["M41.500 48.500a15 15 0 1 1 17 0h3.500q3 0 3 3t-3 3h-2.500q0.500 14.500 12 24.500h-43q11.500-10 12-24.500h-2.500q-3 0-3-3t3-3z", "M34 79.500h32"],
  r: ["M24 18h12.500v7.500h7.500v-7.500h12v7.500h7.500v-7.500h12.500v18.500l-9 8v22.500l6.500 12h-47l6.500-12v-22.500l-9-8z", "M33.500 44.500h33M33.500 67h33"],
  n: ["M29 79c1-13.500 14-16 16.500-24-5.500 5.500-11 4.500-14.500 7.500-2 1.800-2.500 5-6 5.500-5 0.500-9.500-3.500-9-9 0.500-4.500 6.500-9.500 8.500-15.500 3-9.500 7-18 15.500-21.500l8.500-11 4 9.500c18.500 7 24.500 27.500 22.500 58.500z", "M56.500 26.500c9.500 8.500 12.500 23 11.500 42M25.500 60.500l1.500-1.500"],
  b: ["M50 21.500c12 7.500 20 17.500 18 28.500-1 4.500-4 7.500-7 9.500h2.500q3 0 3 3t-3 3h-3.500q1.500 8 11.500 13.500h-43q10-5.500 11.500-13.500h-3.500q-3 0-3-3t3-3h2.500c-3-2-6-5-7-9.500-2-11 6-21 18-28.500z", "M57 33l-8.500 12M40.500 59.500h19"],
  q: ["M18 33.500l13.500 22.500 1.500-30.500 10.500 27.500 6.500-31 6.500 31 10.500-27.500 1.500 30.500 13.500-22.500-9.500 31q-1 3.500 0.500 7l2.500 7.500h-50l2.500-7.500q1.500-3.500 0.500-7z", "M27.500 64.500q22.500-6 45 0M28.500 72q21.500-5 43 0"],
  k: ["M46.500 6.500h7v6.500h7v7h-7v7.500q2.500 2.500 1.500 6.500 9-7.500 19-2.500c11.500 6 8.500 21-3.500 28.500l3.500 19h-48l3.500-19c-12-7.500-15-22.500-3.500-28.500q10-5 19 2.500-1-4 1.500-6.500v-7.500h-7v-7h7z", "M50 37v19M30 61q20-6.500 40 0M28.500 70q21.500-6 43 0"],
};
const BALLS = { b: [[50, 15.500, 5.500]], q: [[17, 29.500, 5], [33, 21.500, 5], [50, 17, 5], [67, 21.500, 5], [83, 29.500, 5]] };
const EYE = [39.500, 37, 2.700];

/** A piece as an element; `letter` upper case is White's. */
export function piece(letter, extra = "") {
  const kind = letter.toLowerCase();
  const drawing = svg("svg", { viewBox: "0 0 100 100", class: `piece ${letter === kind ? "black" : "white"} ${extra}`, "aria-hidden": "true", focusable: "false" });
  const [body, detail] = SHAPES[kind] ?? SHAPES.p;
  for (const [cx, cy, r] of BALLS[kind] ?? []) drawing.append(svg("circle", { class: "body", cx, cy, r }));
  drawing.append(svg("path", { class: "body", d: body }), svg("path", { class: "body", d: FOOT }), svg("path", { class: "detail", d: detail }));
  if (kind === "n") drawing.append(svg("circle", { class: "eye", cx: EYE[0], cy: EYE[1], r: EYE[2] }));
  return drawing;
}
