"""How the evidence page looks: one style sheet, light and dark, from a phone's width to paper."""

STYLE = """
:root {
  color-scheme: light dark;
  --page: #fdfdfc; --raised: #f3f4f2; --ink: #1b1d1f; --muted: #5b6166; --line: #d5d8d6;
  --one: #0072b2; --two: #b85c00; --three: #00795a; --warn: #fff2d6; --warn-line: #c98a00;
}
@media (prefers-color-scheme: dark) {
  :root {
    --page: #15181a; --raised: #1e2326; --ink: #e7e9ea; --muted: #a3abb0; --line: #3a4145;
    --one: #63b7f0; --two: #f0a03c; --three: #4cc9a0; --warn: #33290f; --warn-line: #c98a00;
  }
}
* { box-sizing: border-box; }
body {
  margin: 0 auto; padding: 1rem clamp(0.9rem, 4vw, 2.5rem) 4rem; max-width: 74rem;
  background: var(--page); color: var(--ink);
  font: 1rem/1.55 system-ui, "Segoe UI", Roboto, "Helvetica Neue", Arial, sans-serif;
}
h1 { font-size: clamp(1.5rem, 4vw, 2.1rem); line-height: 1.2; margin: 1.2rem 0 0.4rem; text-wrap: balance; }
h2 { font-size: 1.35rem; margin: 0 0 0.6rem; }
h3 { font-size: 1.05rem; margin: 1.6rem 0 0.4rem; }
p, li { max-width: 46rem; }
a { color: var(--one); }
section { margin-top: 2.6rem; padding-top: 1.4rem; border-top: 1px solid var(--line); }
small { color: var(--muted); font-size: 0.82em; }
code { font-family: ui-monospace, Consolas, monospace; font-size: 0.88em; overflow-wrap: anywhere; }
.first {
  margin: 0 0 1rem; padding: 0.7rem 1rem; max-width: none; font-weight: 600;
  background: var(--warn); border-left: 4px solid var(--warn-line); border-radius: 4px;
}
.muted { color: var(--muted); }
nav ul { list-style: none; padding: 0; margin: 1rem 0 0; display: flex; flex-wrap: wrap; gap: 0.3rem 1.1rem; }
details { margin: 0.6rem 0; }
summary { cursor: pointer; color: var(--one); width: fit-content; }
.next { margin-bottom: 0; }
.next + ul { color: var(--muted); margin-top: 0.2rem; }
.tabled { margin: 1.2rem 0; }
.caption { color: var(--muted); font-size: 0.92rem; margin: 0 0 0.4rem; }
.wide { overflow-x: auto; }
.wide:focus-visible { outline: 2px solid var(--one); }
table { border-collapse: collapse; font-size: 0.92rem; font-variant-numeric: tabular-nums; }
th, td {
  padding: 0.4rem 0.8rem 0.4rem 0; text-align: right; vertical-align: top;
  border-bottom: 1px solid var(--line);
}
th:first-child, td:first-child { text-align: left; }
thead th { border-bottom: 2px solid var(--muted); font-weight: 600; white-space: nowrap; }
tbody th { font-weight: 500; min-width: 9rem; }
@media (max-width: 44rem) {
  tbody th { position: sticky; left: 0; background: var(--page); min-width: 7.5rem; max-width: 9rem; }
}
td small, th small { display: block; white-space: nowrap; }
td small.said, th small.said { white-space: normal; min-width: 12rem; max-width: 26rem; text-align: left; }
th small { white-space: normal; }
.missing { color: var(--muted); font-style: italic; }
figure { margin: 0; }
figure svg, figure img { display: block; max-width: 100%; height: auto; }
figcaption { color: var(--muted); font-size: 0.88rem; margin-top: 0.4rem; max-width: 34rem; }
.figures {
  display: grid; grid-template-columns: repeat(auto-fit, minmax(min(100%, 19rem), 1fr)); gap: 1.6rem;
  margin: 1.2rem 0;
}
.cases {
  display: grid; grid-template-columns: repeat(auto-fit, minmax(min(100%, 30rem), 1fr)); gap: 1.6rem;
  margin: 1.2rem 0;
}
.cases img { width: 100%; border-radius: 4px; background: #000; }
.flow { list-style: none; padding: 0; margin: 0; }
.flow > li { position: relative; padding-bottom: 1.5rem; max-width: 30rem; }
.flow > li:not(:last-child)::after {
  content: "↓"; position: absolute; left: 1.2rem; bottom: 0.05rem; color: var(--muted);
}
.box { border: 1px solid var(--muted); border-radius: 4px; padding: 0.5rem 0.8rem; background: var(--page); }
.box.aside {
  border-style: dashed; border-color: var(--line); background: var(--raised); margin: 0.5rem 0 0 2rem;
  font-size: 0.92rem;
}
.box ul { margin: 0.2rem 0 0; padding-left: 1.1rem; }
.key { display: inline-block; width: 1.1em; height: 0.25em; vertical-align: middle; margin-right: 0.25em; }
footer {
  margin-top: 3rem; padding-top: 1rem; border-top: 1px solid var(--line); color: var(--muted);
  font-size: 0.9rem;
}
@media print {
  :root {
    --page: #fff; --raised: #f3f3f3; --ink: #000; --muted: #444; --line: #bbb; --one: #0072b2;
    --two: #b85c00; --three: #00795a; --warn: #fff;
  }
  body { max-width: none; padding: 0; font-size: 9.5pt; }
  nav, summary { display: none; }
  details::details-content { content-visibility: visible; block-size: auto; }
  .wide { overflow: visible; }
  table { font-size: 8pt; }
  figure svg { max-height: 18cm; }
  figure, tr, .box { break-inside: avoid; }
  h2, h3, .caption { break-after: avoid; }
  tbody th { position: static; }
}
"""
