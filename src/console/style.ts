import { hash } from 'node:crypto';

/** Returns a tint: a color of the style, mixed with the ground by a share in percent. */
function mix(color: string, share: number): string {
  return `background: color-mix(in srgb, var(--${color}) ${share}%, var(--ground))`;
}

/**
 * One style for all pages. Each color has a light and a dark shade; text on `ground` and `panel` has a contrast of at
 * least 4.5. The inbox has a dot, the kind, who it is about, and a link; below each other on narrow screens. From 64rem
 * on, the heads of tables stay visible while the page scrolls; below, and with all columns, a table scrolls in its box.
 * So does the map, which is as wide as its days and starts at the newest ones.
 */
export const STYLE = `
:root { color-scheme: light dark;
  --ground: light-dark(#ffffff, #12161c); --panel: light-dark(#f7f8fa, #1a2029);
  --text: light-dark(#1c2430, #e3e8ef); --quiet: light-dark(#5b6675, #9fabbb);
  --good: light-dark(#146c2e, #7ed894); --bad: light-dark(#a40e26, #ff8f9b);
  --warn: light-dark(#7a4b00, #f0c060); --link: light-dark(#0a58b0, #8fbcff);
  --line: light-dark(#e4e8ee, #2b333f); --mark: light-dark(#3d6fb4, #7aa7e8) }

* { box-sizing: border-box }
body { font: 14px/1.5 Inter, ui-sans-serif, system-ui, sans-serif; margin: 0 auto; max-width: 80rem;
  padding: 0 1.5rem 3rem; background: var(--ground); color: var(--text); overflow-wrap: anywhere }
h1 { font-size: 1.3rem; font-weight: 600; line-height: 1.35; letter-spacing: -.01em; margin: 1.5rem 0 .15rem }
h2 { font-size: .95rem; font-weight: 600; margin: 2.25rem 0 .6rem }
h3 { font-size: .875rem; font-weight: 600; margin: 1rem 0 .25rem }
h1 .pill { vertical-align: .15em; margin-left: .35rem }
p { margin: .35rem 0 } time, .whole { white-space: nowrap; overflow-wrap: normal }
:is(a, h1 span, .id) { unicode-bidi: isolate }
a { color: var(--link); text-decoration: none } a:hover { text-decoration: underline }
:is(p, dd, .legend, footer) a { text-decoration: underline var(--line); text-underline-offset: 3px }
:is(a, input, button, summary, [tabindex]):focus-visible { outline: 2px solid var(--link); outline-offset: 2px;
  border-radius: 3px }
.quiet, .t-lost, .t-pending { color: var(--quiet) } .good, .t-good { color: var(--good) }
.bad, .t-bad { color: var(--bad) } .warn { color: var(--warn) }
:is(p, span):is(.bad, .warn), .t-bad { font-weight: 500 }
.pill { display: inline-flex; padding: 0 .55rem; border-radius: 99px;
  font-size: .8rem; line-height: 1.25rem; font-weight: 500; letter-spacing: 0; white-space: nowrap;
  background: color-mix(in srgb, currentColor 10%, var(--ground)) }
code { font: .8rem/1.5 ui-monospace, monospace }
.command { background: var(--panel); border: 1px solid var(--line); border-radius: 6px; padding: .1rem .45rem;
  white-space: pre-wrap; overflow-wrap: anywhere; user-select: all; display: inline-block; max-width: 100% }
.hidden { position: absolute; width: 1px; height: 1px; overflow: hidden; clip-path: inset(50%) }
summary { cursor: pointer; width: max-content; max-width: 100%; padding: .2rem 0; color: var(--quiet) }

header, nav, form, .keys, .legend { display: flex; flex-wrap: wrap; gap: .25rem 1.25rem }
header { align-items: center; padding: .6rem 0; border-bottom: 1px solid var(--line); background: var(--ground);
  position: sticky; top: 0; z-index: 5; min-height: var(--head) } header nav { flex: 1 1 auto }
:root { --head: 3.3rem } header a, main nav a { color: var(--quiet) } nav a { display: inline-block; line-height: 24px }
nav a:hover { color: var(--text); text-decoration: none } nav a[aria-current] { color: var(--text); font-weight: 600 }
footer { margin-top: 3rem; padding-top: .75rem; border-top: 1px solid var(--line); font-size: .8rem }
.skip { position: absolute; left: -99rem } main:focus { outline: 0 }
.skip:focus { left: 1rem; top: .25rem; background: var(--ground); padding: .4rem .8rem; z-index: 9 }
form { align-items: end; margin: .75rem 0; gap: .5rem .75rem } form.find { margin: 0; flex: 0 1 15rem }
form label { min-width: min(46%, 7rem); max-width: 16rem; display: grid; gap: .15rem; font-size: .8rem; color: var(--quiet) }
form .wide { flex: 1 1 12rem; max-width: 22rem }
input, button { font: inherit; color: var(--text); background: var(--ground); border: 1px solid var(--line);
  border-radius: 6px; padding: .2rem .6rem; min-height: 2rem; height: 2rem; width: 100%; min-width: 0 }
:is(input, button):hover { border-color: color-mix(in srgb, var(--quiet) 50%, var(--line)) }
::placeholder { color: var(--quiet); opacity: 1 }
button { width: auto; font-weight: 500; padding-inline: .9rem }
.legend, .inbox, .inbox ul { list-style: none; margin: .35rem 0; padding: 0 }
.id { user-select: all }
.facts { display: grid; gap: .75rem 1.5rem; margin: .75rem 0;
  grid-template-columns: repeat(auto-fit, minmax(min(100%, 14rem), 1fr)) }
dt, .legend { font-size: .8rem; color: var(--quiet) } dd { margin: 0 }
progress { width: 100%; height: .5rem; accent-color: var(--mark) }
.cell { border-left: 3px solid var(--line); padding-left: .9rem; margin: 1.25rem 0 }
.cell.on-bad { border-color: var(--bad) }

.inbox { border: 1px solid var(--line); border-radius: 8px }
.inbox > li { display: grid; grid-template-columns: .5rem 14rem 1fr auto; gap: 0 .8rem; padding: .5rem .9rem;
  border-top: 1px solid var(--line); align-items: baseline } .inbox > li:first-child { border-top: 0 }
.inbox > li::before { content: ""; width: .5rem; height: .5rem; border-radius: 50%; background: currentColor;
  align-self: start; margin-top: .5rem }
.inbox > .calm { grid-template-columns: .5rem 1fr; color: var(--quiet) }
.inbox > .calm::before { background: var(--good) }
.inbox ul { color: var(--text); margin: 0 } .inbox b { font-weight: 600 }
.inbox :is(b, li, .go) { line-height: 24px } .inbox li li a { color: inherit; font-weight: 500 }
.go { color: var(--link); white-space: nowrap }
.cards { display: grid; gap: 1rem }
.card { border: 1px solid var(--line); border-radius: 8px; padding: .8rem 1rem; min-width: 0 }
.card h3 { color: var(--quiet); font-weight: 400; margin: 0 } .card p { margin: .1rem 0 0 } .card p:has(.pill) { margin-top: .45rem }
.card strong { display: block; font-size: 1.6rem; font-weight: 600; letter-spacing: -.02em; line-height: 1.35;
  font-variant-numeric: tabular-nums }
.card :is(.chart, .legend) { margin: .4rem 0 0 } .card details { font-size: .8rem }
@media (min-width: 30rem) { .cards { grid-template-columns: 1fr 1fr } .card:is(:first-child, :last-child) { grid-column: span 2 } }
@media (min-width: 56rem) {
  .cards { grid-template-columns: repeat(3, 1fr) }
  .card:first-child { grid-column: span 2; grid-row: span 2 } .card:last-child { grid-column: auto }
}
@media (max-width: 56rem) { form.find { flex-grow: 1; max-width: none } }
@media (max-width: 44rem) {
  body { padding-inline: 1rem } header { position: static }
  .facts { gap: .15rem } .facts > div { display: grid; grid-template-columns: 7rem 1fr; align-items: baseline }
  .inbox > li { grid-template-columns: .5rem 1fr auto } .inbox ul { grid-column: 2 / -1; grid-row: 2 }
}

.scroll { overflow-x: auto; position: relative; margin: .5rem 0 } table { border-collapse: separate;
  border-spacing: 0; width: 100% }
th, td { text-align: left; padding: .4rem .9rem .4rem 0; border-bottom: 1px solid var(--line);
  vertical-align: baseline; overflow-wrap: normal }
th { color: var(--quiet); font-size: .8rem; font-weight: 500; vertical-align: bottom; background: var(--ground) }
th a { color: inherit; display: inline-block; min-height: 24px } td a { line-height: 24px }
th a:hover { color: var(--text); text-decoration: none }
td { white-space: nowrap } td .command { white-space: pre-wrap; vertical-align: top }
td.t { white-space: normal; overflow-wrap: anywhere; min-width: 16rem }
.n { text-align: right; font-variant-numeric: tabular-nums } .n + :not(.n) { padding-left: .6rem }
:is(th, td):last-child { padding-right: 0 } tbody tr:hover td { background: var(--panel) }
tfoot td { font-weight: 600; border-bottom: 0 }
:is(th, td):first-child { position: sticky; left: 0; z-index: 1; background: var(--ground) }
td:first-child { max-width: 17rem; overflow: hidden; text-overflow: ellipsis; white-space: nowrap; min-width: 0 }
 td:first-child a { color: inherit; font-weight: 500 } article td:first-child { white-space: normal; min-width: 8rem; overflow-wrap: anywhere }
.bar { display: inline-block; vertical-align: -1px; margin-left: .4rem } .bar rect { rx: 2px }
.bar-room { fill: var(--line) } .bar-used { fill: var(--mark) } .bar-over { fill: var(--bad) }
.wide { overflow: auto; max-height: 85vh } .wide thead th { position: sticky; top: 0; z-index: 2 }
.wide thead th:first-child { z-index: 3 }
@media (min-width: 64rem) {
  .scroll:not(.wide) { overflow: visible } .scroll:not(.wide) thead th { position: sticky; top: var(--head); z-index: 2 }
  thead th { box-shadow: 0 1px var(--line); border-bottom: 0 }
}
@media (max-width: 37.5rem) { td:first-child:not(:has(time)) { max-width: 9rem } }

.map { direction: rtl; overflow-x: auto; margin: .5rem 0 } .grid { direction: ltr; table-layout: fixed;
  forced-color-adjust: none; min-width: 60rem }
.grid .names { width: 10rem }
.grid th { border: 0; padding: .1rem .2rem; font-size: .8rem; font-weight: 400; text-align: center; overflow: hidden }
.grid .name a { display: inline } .grid .name { text-align: left; text-overflow: ellipsis; white-space: nowrap; font-size: .9rem }
.grid td { border: 1px solid var(--ground); padding: 0; height: 1.7rem; text-align: center }
.grid td a, .key { display: block; min-width: 24px; line-height: 1.6rem; font-size: .8rem; font-weight: 600;
  color: var(--text) }
.key { display: inline-block; text-align: center; forced-color-adjust: none }
.m-good { ${mix('good', 22)} } .m-lost { background: var(--line) }
.m-calm { ${mix('mark', 30)} } .m-pending { background: var(--panel) }
${[18, 34, 52, 72].map((share, index) => `.s-${index + 1}.m-bad { ${mix('bad', share)} }`).join(' ')}

svg { display: block } .chart { margin: .75rem 0 } .plot { display: flex; container-type: inline-size }
.legend { position: relative; z-index: 1 }
.legend:not(:empty) + .plot { margin-top: -2.25rem } .chart:has(.at:hover) .legend { visibility: hidden }
@container (max-width: 30rem) { .minor { display: none } } .plot > svg:last-child { flex: 1; min-width: 0 }
.plot svg { overflow: visible } .plot text { font-size: 12px; fill: var(--quiet) }
.swatch { display: inline; margin-right: .4rem }
.rule { stroke: var(--line); stroke-dasharray: 2 3 } .value { fill: var(--mark); rx: 2px } .part { fill-opacity: .35 }
.zero { fill: var(--ground); stroke: var(--mark); stroke-width: 1.5 } .absent { fill: var(--line) }
.not-stored { fill: var(--bad); fill-opacity: .25; stroke: var(--bad) } .weekend { fill: var(--panel) }
.day { fill: transparent } .at:hover .day { fill: var(--text); opacity: .08 }
.tip { visibility: hidden } .plot .tip { fill: var(--text) } .tip tspan:first-child { font-weight: 600 }
.at:is(:hover, :focus-within) .tip { visibility: visible }

.choices { gap: 0 .9rem; font-size: .8rem; align-items: baseline } .choices > span { min-width: 6rem }
@media (max-width: 48rem) { .choices > span { min-width: 100% } }

@page { size: A4; margin: 15mm }
@media print {
  :root { color-scheme: light; font-size: 12px }
  nav, form, .skip, .go, details { display: none } body { max-width: none; font-size: 11px; padding: 0 }
  a { color: inherit } tr, figure, .card, .inbox > li { break-inside: avoid } thead { display: table-header-group }
  header, thead th { position: static !important } .scroll, .map { overflow: visible; max-height: none }
  td, td.t, th { white-space: normal; overflow-wrap: anywhere; min-width: 0; max-width: none }
  article td:not(.t), .n { overflow-wrap: normal } .facts > div { display: block } .id { white-space: nowrap }
  * { print-color-adjust: exact }
}
`;

/** The source for the Content-Security-Policy: the only style that may apply. */
export const STYLE_SOURCE = `'sha256-${hash('sha256', STYLE, 'base64')}'`;
