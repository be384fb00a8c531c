import { html } from 'hono/html';
import type { Html } from './page.ts';

export type Option = readonly [value: string, text: string];

/** A choice of a form, with its name beside it. The first option is what holds where nothing was chosen. */
export function renderSelect({
  name,
  label,
  options,
  chosen,
}: {
  readonly name: string;
  readonly label: string;
  readonly options: readonly Option[];
  readonly chosen: string;
}): Html {
  const each = options.map(([value, text]) =>
    value === chosen
      ? html`<option value="${value}" selected>${text}</option>`
      : html`<option value="${value}">${text}</option>`,
  );
  return html`<label>${label} <select name="${name}">${each}</select></label>\n`;
}

/** The field in which organizations are searched for. */
export function renderSearch(search: string): Html {
  return html`<label class="wide"><span class="hidden">Name, referral id or id of organizations</span>
<input name="q" type="search" value="${search}" placeholder="Name, referral id or id"></label>\n`;
}

/** What was chosen of the options, from the address; null for what is none of them. */
export function readChoice<T extends string>(given: string | undefined, options: readonly T[]): T | null {
  return options.find((option) => option === given) ?? null;
}

/** Instances to choose from: every one of them by its name. */
export function instanceOptions(names: ReadonlyMap<string, string>): Option[] {
  return [['', 'every one'], ...names];
}
