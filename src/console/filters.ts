/** The fields and options that select the rows of a table, and the conditions that they stand for. */
import { html } from 'hono/html';
import { type RawBuilder, sql } from 'kysely';
import { showCode } from '../terminal/words.ts';
import { parseDay } from '../usage/day.ts';
import { streamNames } from '../usage/streams/catalog.ts';
import { addressOf, type Html, renderLink } from './elements.ts';
import type { PageRequest } from './page.ts';

/** A field of the form, and the rows that it selects. */
interface Filter {
  readonly label: string;
  /** The labels of its options by value, or any text, or a day. */
  readonly options: Readonly<Record<string, string>> | 'text' | 'day';
  /**
   * Returns the condition on a row `r`. By default, the column with the name of the filter must have the value. Null if
   * the rows are already those that it selects.
   */
  readonly where?: ((value: string) => RawBuilder<unknown>) | null;
  /** The option that is chosen unless another is. Without it, none has to be. */
  readonly byDefault?: string;
}

export type Filters = Readonly<Record<string, Filter>>;

const MAX_SEARCH_LENGTH = 100;

export type Values = Readonly<Record<string, string>>;

/** Reads the value of each filter from the address. A missing or invalid one is the default, or empty. */
export function readValues<F extends Filters>(filters: F, query: PageRequest['query']): Record<keyof F, string> {
  const values = Object.entries(filters).map(([name, filter]) => [name, readValue(query[name] ?? '', filter)]);
  return Object.fromEntries(values) as Record<keyof F, string>;
}

function readValue(param: string, { options, byDefault = '' }: Filter): string {
  if (options === 'text') return toSearchText(param);
  if (options === 'day') return parseDay(param) ?? byDefault;
  return Object.hasOwn(options, param) ? param : byDefault;
}

/** Returns the text without what Postgres does not accept: NUL and lone surrogates. */
function toSearchText(param: string): string {
  return param.replaceAll('\0', '').trim().slice(0, MAX_SEARCH_LENGTH).toWellFormed();
}

/** Returns the condition that a row `r` matches the values. */
export function toConditions(filters: Filters, values: Values): RawBuilder<unknown> {
  const conditions = Object.entries(filters).flatMap(([name, { where }]) => {
    const value = values[name] ?? '';
    if (value === '' || where === null) return [];
    return [where === undefined ? sql`r.${sql.ref(name)}::text = ${value}` : where(value)];
  });
  return sql.join([sql`true`, ...conditions], sql` and `);
}

export const STREAM = { label: 'Stream', options: optionsOf(streamNames) };

/** The range of the days of rows `r`. */
export const DAYS = {
  from: { label: 'From', options: 'day', where: (day) => sql`r.usage_date >= ${day}::date` },
  to: { label: 'To', options: 'day', where: (day) => sql`r.usage_date <= ${day}::date` },
} as const satisfies Filters;

/** Finds organizations, in rows that have the column `org_id`. */
export const SEARCH: Filter = {
  label: 'Name or any ID',
  options: 'text',
  where: (text) => sql`r.org_id in (select o.org_id from losant_usage.organizations o where ${matchesText(text)})`,
};

/** Returns the condition that the name, ID, referral ID or customer ID of an organization `o` contains the text. */
export function matchesText(search: string): RawBuilder<unknown> {
  const text = `%${escapeLike(search)}%`;
  return sql`(o.name ilike ${text} or o.org_id like lower(${text}) or o.referral_id ilike ${text}
    or o.customer_id ilike ${text})`;
}

function escapeLike(text: string): string {
  return text.replaceAll(/[\\%_]/g, String.raw`\$&`);
}

/** Returns options whose labels are their values in words. */
export function optionsOf(values: readonly string[]): Readonly<Record<string, string>> {
  return Object.fromEntries(values.map((value) => [value, showCode(value)]));
}

/** Renders the filters: options as links, then more links, then fields for text and days. Other values stay. */
export function renderForm(path: string, filters: Filters, values: Values, moreLinks: Html | string = ''): Html {
  const choices = Object.entries(filters).map(([name, { label, options, byDefault }]) => {
    if (typeof options === 'string') return '';
    const labels = Object.entries(byDefault === undefined ? { '': 'all', ...options } : options);
    return renderChoices(
      label,
      labels.map(([value, text]) => [text, addressOf(path, { ...values, [name]: value }), value === values[name]]),
    );
  });
  const fields = Object.entries(filters).filter(([, { options }]) => typeof options === 'string');
  const isField = (name: string) => fields.some(([field]) => field === name);
  const hidden = Object.entries(values).filter(([name, value]) => value !== '' && !isField(name));
  return html`${choices}${moreLinks}<form method="get" action="${path}">${hidden.map(
    ([name, value]) => html`<input type="hidden" name="${name}" value="${value}">`,
  )}${fields.map(([name, { label, options }]) => {
    const [style, type] = options === 'text' ? ['wide', 'search'] : ['', 'date'];
    const field = html`<input name="${name}" type="${type}" value="${values[name]}">`;
    return html`<label class="${style}">${label}${field}</label>\n`;
  })}<button type="submit">Apply</button></form>`;
}

export function renderChoices(
  label: string,
  links: readonly (readonly [text: string, address: string, isCurrent: boolean])[],
): Html {
  return html`<nav class="choices" aria-label="${label}"><span class="quiet">${label}</span> ${links.map(
    ([text, address, isCurrent]) => renderLink(address, text, isCurrent),
  )}</nav>\n`;
}
