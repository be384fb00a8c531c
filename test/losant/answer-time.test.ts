/** When an answer was made, by its own Date and Age: one of another time is not an answer of now. */
import { describe, expect, it } from 'vitest';
import { clientFor, errorOf, sendJson, startServer } from './server.ts';

const NOW = Date.UTC(2026, 10, 24, 0, 1);
const ask = {
  action: 'instanceOrg.deviceCounts',
  path: 'instances/abc/orgs/def/deviceCounts',
  query: {},
  notBeforeMs: Date.UTC(2026, 10, 24),
  signal: new AbortController().signal,
};
const now = () => NOW;
const date = (text: string) => ({ date: new Date(text).toUTCString() });

describe('an answer with the headers', () => {
  it.each([
    ['of the same minute', date('2026-11-24T00:01:00Z')],
    ['of five minutes ago', date('2026-11-23T23:56:00Z')],
    ['of a clock five minutes ahead', date('2026-11-24T00:06:00Z')],
    ['of a cache that made it after the day', { ...date('2026-11-24T00:01:00Z'), age: '60' }],
  ])('%s is taken', async (_, headers) => {
    await using server = await startServer((_request, response) => sendJson(response, {}, { headers }));
    await clientFor(server, { now }).get(ask);
    expect(server.received).toHaveLength(1);
    expect(server.received[0]?.headers['cache-control']).toBe('no-cache');
  });

  it.each([
    ['of six minutes ago', date('2026-11-23T23:55:00Z'), 'the answer was made 6 min ago by its Date'],
    ['of three days ago', date('2026-11-20T12:01:00Z'), 'the answer was made 3 d 12 h ago by its Date'],
    [
      'of six minutes from now',
      date('2026-11-24T00:07:00Z'),
      'the answer was made 6 min from now by its Date',
    ],
    [
      'of a cache that has kept it for an hour',
      { ...date('2026-11-24T00:01:00Z'), age: '3600' },
      'a cache has kept the answer for 1 h, by its Age',
    ],
    [
      'of a cache that made it before the day was over',
      { ...date('2026-11-24T00:01:00Z'), age: '61' },
      'a cache has kept the answer since before the days were over: for 61 s, by its Age',
    ],
  ])('%s is asked for again, and refused if it stays so', async (_, headers, message) => {
    await using server = await startServer((_request, response, number) =>
      sendJson(response, {}, { headers: number === 1 ? date('2026-11-24T00:01:00Z') : headers }),
    );
    const client = clientFor(server, { now });
    await client.get(ask);
    const error = await errorOf(client.get(ask));
    expect(error).toMatchObject({ kind: 'wrong_date', hint: expect.stringContaining('no-cache') as string });
    expect(error.message).toContain(`${message} (after 3 attempts)`);
    expect(server.received).toHaveLength(4);
  });

  it('of another time is taken at the second try', async () => {
    await using server = await startServer((_request, response, number) =>
      sendJson(
        response,
        { number },
        { headers: date(number === 1 ? '2026-11-20T00:01:00Z' : '2026-11-24T00:01:00Z') },
      ),
    );
    expect((await clientFor(server, { now }).get(ask)).body).toEqual({ number: 2 });
  });

  it('of another time, before any of now, is asked for twice and no more: the clock is wrong', async () => {
    await using server = await startServer((_request, response) =>
      sendJson(response, {}, { headers: date('2026-11-20T00:01:00Z') }),
    );
    const client = clientFor(server, { now, attempts: 5 });
    await errorOf(client.get(ask));
    expect(server.received).toHaveLength(2);
  });
});
