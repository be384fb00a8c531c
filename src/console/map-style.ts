/**
 * Looks of the map of coverage: as wide as its days, inside a box that scrolls by itself where the screen is
 * narrow, and begins with the newest days.
 */
export const MAP_STYLE = `
.map { direction: rtl; position: relative; overflow-x: auto; margin: .5rem 0 } .map:focus-visible { outline: 3px solid var(--link); outline-offset: 2px }
.grid { direction: ltr; table-layout: fixed; border-collapse: separate; border-spacing: 0 } .grid-30 { min-width: 56rem } .grid-90 { min-width: 74rem }
.grid .names { width: 15rem } .grid th { border: 0; padding: .1rem .2rem; font-size: .8rem; font-weight: 400; white-space: nowrap; text-align: center }
.grid thead th { color: var(--quiet); vertical-align: bottom; overflow: visible } .grid .month { text-align: left; border-left: 1px solid var(--line); padding-left: .3rem; font-weight: 600 } .month span:not(.hidden) { position: sticky; left: 15.5rem }
.grid .name { position: sticky; left: 0; z-index: 1; background: var(--ground); text-align: left; overflow: hidden; text-overflow: ellipsis; color: var(--text); padding-right: .6rem; font-size: .9rem }
.grid td { border: 1px solid var(--ground); padding: 0; height: 1.7rem; background-clip: padding-box; text-align: center }
.grid td a { display: block; height: 1.6rem; line-height: 1.6rem; font-weight: 700; text-decoration: none } .grid td a:hover { outline: 2px solid var(--text) } .grid td a:focus-visible { outline-offset: 0; position: relative; z-index: 2 }
.grid-90 td a { font-size: .7rem }
.grid, .key, .heat { forced-color-adjust: none }
.key { display: inline-block; width: 1rem; height: 1rem; line-height: 1rem; text-align: center; font-weight: 700; font-size: .8rem; vertical-align: -2px; margin-left: .75rem }
.whole:first-child > .key { margin-left: 0 }
.m-final { background: color-mix(in srgb, var(--mark) 70%, var(--ground)) } .m-untracked { background: none }
td.m-open a, .key.m-open { background: linear-gradient(to top, color-mix(in srgb, var(--mark) 70%, var(--ground)) 45%, var(--line) 45%) }
td.m-known a, .key.m-known { background: repeating-linear-gradient(45deg, var(--quiet) 0 2px, var(--line) 2px 5px) }
td.m-gap a, .key.m-gap { background: var(--bad); color: var(--ground) }
.key.m-untracked { border: 1px solid var(--line) }
@media (max-width: 52rem) { .grid .names { width: 9rem } .month span:not(.hidden) { left: 9.5rem } .grid-30 { min-width: 50rem } .grid-90 { min-width: 70rem } }
`;

/** Looks of stories and lists of facts. */
export const STORY_STYLE = `
.story { margin: 1rem 0 } h3 { font-size: 1rem; margin: 1rem 0 .25rem } .story ul { margin: .25rem 0; padding-left: 1.2rem }
.list { grid-template-columns: 12rem minmax(0, 1fr); margin: .75rem 0 } .list dd { text-align: left }
code, pre { font: .87rem/1.5 ui-monospace, monospace } code { background: var(--ground); border: 1px solid var(--line); border-radius: 4px; padding: .1rem .35rem; display: inline-block }
pre { white-space: pre-wrap; overflow-wrap: anywhere; background: var(--ground); border: 1px solid var(--line); border-radius: 4px; padding: .5rem .75rem; margin: .5rem 0 }

.story .facts { margin: .75rem 0; gap: .5rem 1.5rem } .facts .long { grid-column: 1 / -1 } .story .facts dd { text-align: left }
.commands { grid-template-columns: minmax(0, 1fr); gap: 0; margin: .5rem 0 } .commands dd { text-align: left; margin: .1rem 0 .6rem } .commands code { display: block; padding: .35rem .6rem; user-select: all }
progress { width: 100%; height: .75rem; accent-color: var(--mark) } summary { width: max-content; max-width: 100% } .story table { margin: .5rem 0; width: auto; min-width: min(100%, 24rem) }
@media (max-width: 64rem) { .list { grid-template-columns: 1fr; gap: 0 } .list dd { margin-bottom: .4rem } .story tr { background: var(--ground) } }
`;
