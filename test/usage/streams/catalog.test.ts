import { expect, test } from 'vitest';
import { streamNamed, streams, usualStreamNames } from '../../../src/usage/streams/catalog.ts';

test('lists the five streams, with what their tables hold and what a left-out day means', () => {
  expect(
    streams.map(({ name, columns, keyColumns, windowDays, missingMeans, requests }) => ({
      name,
      columns,
      keyColumns,
      windowDays,
      missingMeans,
      actions: requests.map(({ action }) => action),
    })),
  ).toEqual([
    {
      name: 'device_counts',
      columns: ['created', 'deleted', 'total'],
      keyColumns: [],
      windowDays: 31,
      missingMeans: 'missing',
      actions: ['deviceCounts'],
    },
    {
      name: 'notebook_minutes',
      columns: ['minutes', 'completed', 'canceled', 'errored', 'timeout'],
      keyColumns: [],
      windowDays: 31,
      missingMeans: 'zero',
      actions: ['notebookMinuteCounts'],
    },
    {
      name: 'payload_totals',
      columns: ['billable_count', 'all_count', 'all_bytes'],
      keyColumns: [],
      windowDays: 31,
      missingMeans: 'zero',
      actions: ['payloadCountsBreakdown', 'payloadCountsBreakdown', 'payloadCountsBreakdown'],
    },
    {
      name: 'payload_sources',
      columns: ['count'],
      keyColumns: ['payload_type', 'source'],
      windowDays: 1,
      missingMeans: 'zero',
      actions: ['payloadCounts'],
    },
    {
      name: 'payload_hours',
      columns: ['billable_count', 'all_count', 'all_bytes'],
      keyColumns: ['hour'],
      windowDays: 31,
      missingMeans: 'zero',
      actions: ['payloadCountsBreakdown', 'payloadCountsBreakdown', 'payloadCountsBreakdown'],
    },
  ]);
});

test('exports all of them but the hours unless STREAMS says otherwise', () => {
  expect(usualStreamNames).toEqual([
    'device_counts',
    'notebook_minutes',
    'payload_totals',
    'payload_sources',
  ]);
});

test('a name that is no stream is a defect, not a settings error', () => {
  expect(() => streamNamed('payloads')).toThrow('no stream is called payloads');
});
