// Our own piece shapes: one outline for each kind, in a field of 100 by 100. Colour is fill and line, never the only difference.

import { svg } from "./dom.js";

const FOOT = "M21 89h58v-3.5q0-6.5-7.500-7.500H28.500q-7.500 1-7.500 7.500z";

const SHAPES = {
  p: ["M50 17a14 14 0 0 1 8.500 25h6.500v6.500h-7.500q1 17 13.500 29.500h-42q12.500-12.500 13.500-29.500h-7.500v-6.500h6.500a14 14 0 0 1 8.500-25z"],
  r: ["M27 16h11v8.500h6.500v-8.500h11v8.500h6.500v-8.500h11v19l-8 7.500v25.500l6 10h-42l6-10v-25.500l-8-7.500z", "M35 42.500h30M35 67.500h30"],
  n: ["M30 78q-2-19 14-33.500-9 1.500-14.500 9.500-6.500 4-10-3.500 3-11.500 10.500-19.500 4-6.500 10.500-8.500l1.500-9.500 8.500 7.500q18 2.500 24.500 23 5 17 0.500 34.500z", "M42.500 32.500l3.500-1.500M56 25q12 6 14.500 24"],
  b: ["M50 20q17 12.500 17 28 0 9-8 13h5.500v6.500h-7q1.500 6 11 10.500h-37q9.500-4.500 11-10.500h-7v-6.500h5.500q-8-4-8-13 0-15.500 17-28z", "M55 31l-7.500 15M36 67.500h28"],
  q: ["M21 31l12.500 17.500 4.500-27 12 23 12-23 4.500 27 12.500-17.500-8.500 34q-1 4 1.500 8l2 5h-47l2-5q2.500-4 1.500-8z", "M30.500 66q19.500-5 39 0"],
  k: ["M46.500 8h7v6.500h6.500v6.500h-6.500v9q7.500-3.500 15.500 0 13 6 7 21-3 8-9.500 14l3.500 13h-40l3.500-13q-6.500-6-9.500-14-6-15 7-21 8-3.500 15.500 0v-9h-6.500v-6.500h6.500z", "M50 33v30M33.500 65q16.500-5 33 0"],
};
const BALLS = { b: [[50, 15, 5]], q: [[21, 27, 5], [38, 18, 5], [62, 18, 5], [79, 27, 5]] };

/** A piece as an element; `letter` upper case is White's. */
export function piece(letter, extra = "") {
  const kind = letter.toLowerCase();
  const white = letter !== kind;
  const drawing = svg("svg", { viewBox: "0 0 100 100", class: `piece ${white ? "white" : "black"} ${extra}`, "aria-hidden": "true", focusable: "false" });
  const [body, detail] = SHAPES[kind] ?? SHAPES.p;
  for (const [x, y, radius] of BALLS[kind] ?? []) drawing.append(svg("circle", { class: "body", cx: x, cy: y, r: radius }));
  drawing.append(svg("path", { class: "body", d: body }), svg("path", { class: "body", d: FOOT }));
  if (detail) drawing.append(svg("path", { class: "detail", d: detail }));
  return drawing;
}
