/** A link of Home opens exactly what it counts. */
import { Hono } from 'hono';
import { expect, test } from 'vitest';
import { addPages } from '../../src/console/pages.ts';
import { readHealth } from '../../src/queries/health.ts';
import { useOpened } from '../opened.ts';
import { asProgram } from '../support/by-hand.ts';
import { INSTANCE, NOW, ORGS, openWorld, textOf } from './world.ts';

const world = useOpened(openWorld, (opened) => opened.close());

/** An item more of each kind that Home knows. An organization can exceed two limits. */
const MORE_ITEMS = `insert into losant_usage.attention_items (instance_id, kind, subject, text, first_seen_on,
    last_seen_on)
  select '${INSTANCE}', k.kind, concat_ws(' ', '${ORGS.hourly}', n.limit_name), 'Hourly (by hand)', '2026-11-28',
    '2026-11-28'
  from unnest(enum_range(null::losant_usage.attention_kind)) as k (kind), (values ('payload'), ('device')) as n (limit_name)
  on conflict do nothing`;

test('each count of Home is the number of rows behind its link', async () => {
  await world.ask(asProgram(MORE_ITEMS));
  const health = await readHealth(world.handle.db, { nowMs: NOW, instanceIds: [INSTANCE] });
  const app = new Hono();
  addPages(app, {
    ...world.sources,
    database: () => Promise.resolve({ isUp: true, snapshot: { value: health, atMs: NOW } }),
  });
  const home = await (await app.request('/')).text();
  const links = [...home.matchAll(/<a class="go" href="([^"]*)"[^>]*>\w+ ([\d,]+)<\/a>/g)];
  expect(links).toHaveLength(15);
  for (const [, address = '', count] of links) {
    const list = textOf(await (await app.request(address.replaceAll('&amp;', '&'))).text());
    expect(list).toContain(` ${count} rows `);
  }
});
