"""The style sheet and the script of the pages."""

from jaxnuc.outputs.palette import DARK, LIGHT


def _variables(colors: dict[str, str]) -> str:
    return " ".join(f"--{name}: {color};" for name, color in colors.items())


STYLE = f"""
:root {{ {_variables(LIGHT)} }}
@media screen and (prefers-color-scheme: dark) {{ :root {{ {_variables(DARK)} }} }}
"""
STYLE += """
* { box-sizing: border-box; }
body {
  margin: 0 auto; padding: 1.5rem clamp(1rem, 4vw, 3rem) 4rem; max-width: 76rem;
  background: var(--paper); color: var(--ink);
  font: 16px/1.5 system-ui, -apple-system, "Segoe UI", Roboto, "Helvetica Neue", sans-serif;
  overflow-wrap: anywhere;
}
header { border-bottom: 1px solid var(--line); margin-bottom: 1.5rem; }
h1 { font-size: 1.7rem; line-height: 1.2; margin: .5rem 0 .25rem; }
h2 { font-size: 1.2rem; margin: 2.5rem 0 .75rem; }
h3 { font-size: 1rem; margin: 1.25rem 0 .5rem; }
h4 { font-size: .9rem; margin: 0; }
p { margin: 0 0 1rem; }
header p, caption, figcaption, .below, .note { color: var(--faint); font-size: .9rem; }
.cards {
  display: grid; grid-template-columns: repeat(auto-fit, minmax(10.5rem, 1fr)); gap: .75rem;
}
.cards, .facts { margin: 0 0 1rem; }
.cards > div { background: var(--panel); border-radius: .5rem; padding: .75rem 1rem; }
.cards dt { font-size: .85rem; color: var(--faint); }
dd { margin: 0; }
.figure { font-size: 1.6rem; line-height: 1.3; font-variant-numeric: tabular-nums; }
.facts > div {
  display: grid; grid-template-columns: minmax(8rem, 16rem) 1fr; gap: 0 1rem; padding: .3rem 0;
  border-bottom: 1px solid var(--line);
}
.facts dt { color: var(--faint); }
.scroll { overflow-x: auto; margin-bottom: 1.25rem; }
table { border-collapse: collapse; font-size: .9rem; font-variant-numeric: tabular-nums; }
caption { text-align: left; padding-bottom: .4rem; }
th, td { padding: .35rem .9rem .35rem 0; text-align: left; border-bottom: 1px solid var(--line); }
thead th {
  vertical-align: bottom; color: var(--faint); font-weight: 600; overflow-wrap: normal;
}
tbody th { font-weight: 500; min-width: 8rem; }
.numbers td, .numbers thead th:not(:first-child) { text-align: right; padding: .35rem .6rem; }
.numbers td { white-space: nowrap; }
.sortable thead button {
  all: unset; cursor: pointer; border-bottom: 1px dotted var(--faint);
}
.sortable thead button:focus-visible { outline: 2px solid var(--s0); }
.sortable [aria-sort="ascending"] button::after { content: " \\2191"; }
.sortable [aria-sort="descending"] button::after { content: " \\2193"; }
.sortable img { display: block; max-width: 8rem; max-height: 8rem; border-radius: .25rem; }
.sortable td:first-child { padding-left: 0; }
.sortable .text, .sortable thead th:nth-child(-n+3):not(:first-child) { text-align: left; }
.sortable tbody th { min-width: 10rem; padding-left: .6rem; }
.sortable thead th { padding-right: .6rem; }
a { color: var(--s0); }
.charts {
  display: grid; grid-template-columns: repeat(auto-fit, minmax(min(24rem, 100%), 1fr));
  gap: 1.5rem;
}
figure { margin: 0; min-width: 0; break-inside: avoid; }
.chart { max-width: 36rem; }
section > .chart { max-width: 56rem; }
.scale { max-width: 32rem; font-size: .8rem; color: var(--faint); }
.scale > [role] { height: .9rem; margin: .3rem 0; }
.ends { display: flex; justify-content: space-between; }
figcaption { margin-top: .4rem; }
svg { display: block; width: 100%; height: auto; }
svg * { stroke-linejoin: round; stroke-linecap: butt; }
svg text { font-family: system-ui, sans-serif !important; }
.key {
  display: flex; flex-wrap: wrap; gap: .2rem 1rem; margin: .4rem 0 0; padding: 0;
  list-style: none; font-size: .85rem;
}
.swatch {
  display: inline-block; width: 1.5rem; height: .8rem; margin-right: .4rem;
  vertical-align: -.05rem; border: 1px solid var(--faint); border-radius: .15rem;
}
.pictures {
  display: grid; grid-template-columns: repeat(auto-fill, minmax(min(26rem, 100%), 1fr));
  gap: 2rem 1.5rem;
}
/* The whole picture is seen at once: --shape is its width by its height. */
.view { max-width: max(20rem, 85vh * var(--shape)); }
.compare .stage {
  position: relative; overflow: hidden; max-width: calc(85vh * var(--shape)); margin: .4rem 0;
  border-radius: .4rem; background: #181818; --at: 50%;
}
.compare img { display: block; width: 100%; height: auto; }
.compare .layer { position: absolute; inset: 0; height: 100%; visibility: hidden; }
.compare .left { visibility: visible; clip-path: inset(0 calc(100% - var(--at)) 0 0); }
.compare .right { visibility: visible; clip-path: inset(0 0 0 var(--at)); }
.compare .left.right { clip-path: none; }
.bar {
  position: absolute; top: 0; bottom: 0; left: var(--at); width: 2px; margin-left: -1px;
  background: #fff; box-shadow: 0 0 3px #000; pointer-events: none;
}
.bar::after {
  content: "\\2194"; position: absolute; top: 50%; left: 50%; width: 2rem; height: 2rem;
  margin: -1rem; border-radius: 50%; background: #fff; color: #222; text-align: center;
  line-height: 2rem; box-shadow: 0 0 3px #000;
}
.micron {
  position: absolute; left: .7rem; bottom: .6rem; border-bottom: 4px solid #fff; color: #fff;
  font-size: .85rem; line-height: 1.4; text-align: center; white-space: nowrap;
  background: #000b; box-shadow: 0 0 0 .3rem #000b; pointer-events: none;
}
.doubt { border-left: 4px solid var(--s1); padding-left: 1rem; }
.wipe {
  position: absolute; inset: 0; width: 100%; height: 100%; margin: 0; opacity: 0;
  cursor: ew-resize; appearance: none; touch-action: pan-y;
}
.wipe::-webkit-slider-thumb { appearance: none; width: 1px; height: 100%; }
.wipe::-moz-range-thumb { width: 1px; height: 100%; border: 0; }
.wipe:focus-visible + .bar { background: #ffd60a; outline: 2px solid #ffd60a; }
.sides { display: flex; flex-wrap: wrap; justify-content: space-between; gap: .5rem; }
.sides > div { display: flex; }
.sides button {
  font: inherit; font-size: .85rem; padding: .3rem .7rem; border: 1px solid var(--line);
  margin-left: -1px; background: var(--paper); color: var(--ink); cursor: pointer;
}
.sides button[aria-pressed="true"] { background: var(--ink); color: var(--paper); }
:focus-visible { outline: 2px solid var(--s0); outline-offset: 2px; }
@media (max-width: 40rem) { .facts > div { grid-template-columns: 1fr; } }
@media print {
  body { max-width: none; padding: 0; font-size: 11pt; }
  * { print-color-adjust: exact; -webkit-print-color-adjust: exact; }
  .sides, .bar::after { display: none; }
  h2, h3, h4 { break-after: avoid; }
  .scroll { overflow: visible; }
  tr, .cards > div { break-inside: avoid; }
}
"""

# The range input lies over the picture, so that mouse, finger and keys move it by themselves.
SCRIPT = """
for (const figure of document.querySelectorAll(".compare")) {
  const stage = figure.querySelector(".stage"), wipe = figure.querySelector(".wipe");
  const follow = () => stage.style.setProperty("--at", wipe.value + "%");
  wipe.addEventListener("input", follow);
  follow();
  for (const button of figure.querySelectorAll("button"))
    button.addEventListener("click", () => {
      const { side, layer } = button.dataset;
      for (const other of button.parentElement.children)
        other.setAttribute("aria-pressed", other === button);
      for (const picture of stage.querySelectorAll(".layer"))
        picture.classList.toggle(side, picture.dataset.layer === layer);
    });
}
for (const table of document.querySelectorAll(".sortable")) {
  const body = table.tBodies[0], heads = [...table.tHead.rows[0].cells];
  const compare = new Intl.Collator(undefined, { numeric: true }).compare;
  heads.forEach((head, column) => head.querySelector("button")?.addEventListener("click", () => {
    // Numbers are sorted from the largest first, names from A.
    const value = row => row.cells[column].dataset.value;
    const known = [...body.rows].filter(row => value(row) !== undefined);
    const numbers = known.every(row => isFinite(value(row)));
    const now = head.getAttribute("aria-sort") ?? (numbers ? "ascending" : "descending");
    const sign = now === "ascending" ? -1 : 1;
    const order = (a, b) => numbers ? value(a) - value(b) : compare(value(a), value(b));
    for (const other of heads) other.removeAttribute("aria-sort");
    head.setAttribute("aria-sort", sign > 0 ? "ascending" : "descending");
    const rest = [...body.rows].filter(row => value(row) === undefined);
    body.append(...known.sort((a, b) => sign * order(a, b)), ...rest);
  }));
}
"""
