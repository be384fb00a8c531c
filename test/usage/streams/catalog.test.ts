import { expect, test } from 'vitest';
import { streamNamed, streams, usualStreamNames } from '../../../src/usage/streams/catalog.ts';

test('lists the streams in the order in which they are read, with their requests and what counts the same', () => {
  expect(
    streams.map(({ name, kind, windowDays, requests, counterparts, waitsFor }) => {
      const asked = `${requests.length} × ${requests[0]?.action} of ${windowDays} days`;
      return [name, kind, asked, counterparts.join(' '), waitsFor];
    }),
  ).toEqual([
    ['device_counts', 'level', '1 × deviceCounts of 31 days', '', null],
    ['notebook_minutes', 'flow', '1 × notebookMinuteCounts of 31 days', '', null],
    ['payload_sources', 'flow', '1 × payloadCounts of 1 days', 'payload_totals payload_hours', null],
    [
      'payload_totals',
      'flow',
      '3 × payloadCountsBreakdown of 31 days',
      'payload_sources payload_hours',
      'payload_sources',
    ],
    [
      'payload_hours',
      'flow',
      '3 × payloadCountsBreakdown of 31 days',
      'payload_sources payload_totals',
      'payload_sources',
    ],
  ]);
});

test('exports all of them but the hours unless STREAMS says otherwise', () => {
  expect(usualStreamNames).toEqual([
    'device_counts',
    'notebook_minutes',
    'payload_sources',
    'payload_totals',
  ]);
});

test('a name that is no stream is a defect, not a settings error', () => {
  expect(() => streamNamed('payloads')).toThrow('no stream is called payloads');
});
